//! Files as OpenSSL writes them, in the ways of old and of new Windows.

use super::*;
use crate::tls::{Authority, CertificateFault, FrontCertificate, Trusted};
use std::path::PathBuf;
use std::process::Command;
use time::OffsetDateTime;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("rmsc-bundle-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    fn openssl(&self, arguments: &str) -> bool {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .env("RMSC_TEST_PASSWORD", PASSWORD)
            .output()
            .expect("openssl is installed with the tests");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        true
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PASSWORD: &str = "P\u{e4}ss w\u{f6}rd-1";

/// A leaf, its authority and an RSA key, as PEM files.
fn made() -> Folder {
    let folder = Folder::new();
    folder.openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=Root");
    folder.openssl("req -newkey rsa:2048 -nodes -keyout rms.key -out rms.csr -subj /CN=rms.contoso.test -addext subjectAltName=DNS:rms.contoso.test");
    folder.openssl("x509 -req -in rms.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -out rms.pem -days 20");
    folder.openssl("x509 -req -in rms.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out old.pem -days 20");
    folder
}

fn check_whole(bundle: Bundle) {
    assert_eq!(bundle.certificates.len(), 2);
    let certificate = FrontCertificate::of_parts(bundle.certificates, bundle.key.unwrap()).unwrap();
    let faults = certificate.faults("rms.contoso.test", &Trusted::nobody(), OffsetDateTime::now_utc());
    assert_eq!(faults, []);
    assert_eq!(certificate.about()[1].subject, "CN=Root");
}

#[test]
fn reads_a_pfx_of_new_and_of_old_windows_with_its_password_alone() {
    let folder = made();
    let export = "pkcs12 -export -in rms.pem -inkey rms.key -certfile ca.pem -passout env:RMSC_TEST_PASSWORD";
    let modern = "-keypbe AES-256-CBC -certpbe AES-256-CBC -macalg sha256";
    let triple = "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1";
    let rc2 = "-legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40 -macalg sha1";
    for (name, kind) in [("modern", modern), ("triple", triple), ("rc2", rc2)] {
        folder.openssl(&format!("{export} -out {name}.pfx {kind}"));
        let bytes = folder.bytes(&format!("{name}.pfx"));
        assert!(Bundle::is_pfx(&bytes), "{name}");
        check_whole(Bundle::read(&bytes, &Secret::new(PASSWORD.into())).unwrap());
        for wrong in ["", "other"] {
            let refused = Bundle::read(&bytes, &Secret::new(wrong.into())).err();
            assert_eq!(refused, Some(BundleError::Password), "{name}");
        }
        for length in [0, 1, 40, bytes.len() - 1] {
            assert!(Bundle::read(&bytes[..length], &Secret::new(PASSWORD.into())).is_err(), "{length}");
        }
    }
}

#[test]
fn reads_pem_in_one_file_or_in_several_and_a_single_certificate() {
    let (folder, none) = (made(), Secret::new(String::new()));
    let read = |name: &str| Bundle::read(&folder.bytes(name), &none);
    check_whole(
        read("rms.pem").unwrap().and(read("rms.key").unwrap()).unwrap().and(read("ca.pem").unwrap()).unwrap(),
    );
    let old = read("old.pem").unwrap().and(read("rms.key").unwrap()).unwrap();
    let old = FrontCertificate::of_parts(old.certificates, old.key.unwrap()).unwrap();
    let faults = old.faults("rms.contoso.test", &Trusted::nobody(), OffsetDateTime::now_utc());
    assert!(faults.contains(&CertificateFault::OldVersion), "{faults:?}");
    folder.openssl("x509 -in rms.pem -outform DER -out rms.cer");
    assert_eq!(read("rms.cer").unwrap().certificates.len(), 1);
    folder.openssl("pkey -in rms.key -aes256 -passout env:RMSC_TEST_PASSWORD -out closed.key");
    assert_eq!(read("closed.key").err(), Some(BundleError::EncryptedKey));
    folder.openssl("rsa -in rms.key -traditional -aes256 -passout env:RMSC_TEST_PASSWORD -out older.key");
    assert_eq!(read("older.key").err(), Some(BundleError::EncryptedKey));
    folder.openssl("crl2pkcs7 -nocrl -certfile rms.pem -out rms.p7b");
    assert_eq!(read("rms.p7b").err(), Some(BundleError::Pkcs7));
    let two = read("rms.key").unwrap().and(read("ca.key").unwrap());
    assert_eq!(two.err(), Some(BundleError::Keys(2)));
    assert_eq!(Bundle::read(b"hello", &none).err(), Some(BundleError::Unknown));
}

#[test]
fn no_word_has_the_key() {
    let now = OffsetDateTime::now_utc();
    let issued = Authority::new("ca", now).unwrap().issue_server(&["rms".into()], now).unwrap();
    let pem = format!("{}{}", issued.certificate_pem, issued.key_pem.expose());
    let bundle = Bundle::read(pem.as_bytes(), &Secret::new(String::new())).unwrap();
    let certificate = FrontCertificate::of_parts(bundle.certificates, bundle.key.unwrap()).unwrap();
    assert_eq!(format!("{certificate:?}"), "FrontCertificate(1 certificates)");
}
