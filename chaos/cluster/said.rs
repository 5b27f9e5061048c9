//! What the nodes say, and what they may not say.

use super::Cluster;
use super::certificates::IMPORTED;
use std::fs;

impl Cluster {
    /// Everything that was said by anybody, with where it was said.
    pub fn outputs(&self) -> Vec<(String, Vec<u8>)> {
        let logs = self.hosts.iter().filter_map(|host| {
            Some((format!("the log of {}", host.node.name), fs::read(&host.node.log).ok()?))
        });
        let monitored = self.hosts.iter().flat_map(|host| {
            ["/metrics", "/readyz", "/clusterz"].into_iter().filter_map(|path| {
                Some((format!("{path} of {}", host.node.name), self.monitor(host.number, path)?.body))
            })
        });
        let processes = self.hosts.iter().filter_map(|host| host.node.pid.map(|pid| (host, pid)));
        let processes = processes.flat_map(|(host, pid)| {
            ["environ", "cmdline"].into_iter().filter_map(move |file| {
                Some((format!("{file} of {}", host.node.name), fs::read(format!("/proc/{pid}/{file}")).ok()?))
            })
        });
        logs.chain(monitored).chain(processes).collect()
    }

    /// What must never be in any of these: name and value.
    pub fn secrets(&self) -> Vec<(String, Vec<u8>)> {
        let mut secrets = Vec::new();
        for account in self.accounts.values() {
            let hash = rmsc::identity::nt_hash(&account.password);
            let hex: String = hash.expose().iter().map(|byte| format!("{byte:02x}")).collect();
            secrets
                .push((format!("the password of {}", account.name), account.password.clone().into_bytes()));
            secrets.push((format!("the NT hash of {}", account.name), hex.into_bytes()));
        }
        let mut keys = vec![
            ("the administrator's key".to_owned(), self.folder.join("administrator")),
            ("the key of an imported certificate".to_owned(), self.folder.join(IMPORTED)),
        ];
        keys.extend(self.hosts.iter().filter_map(|host| {
            Some((format!("a key of {}", host.node.name), host.node.config.parent()?.to_owned()))
        }));
        for (what, folder) in keys {
            let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
            let texts = files.filter_map(|path| fs::read_to_string(path).ok());
            for text in texts.filter(|text| text.contains("PRIVATE KEY")) {
                // A line in the middle stands for the whole.
                secrets.extend(text.lines().nth(2).map(|line| (what.clone(), line.as_bytes().to_vec())));
            }
        }
        secrets
    }
}
