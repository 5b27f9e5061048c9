//! The clouds that there are, and their hosts.

/// A cloud, by the name that the original's setup has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// The public one.
    AzureCloud,
    /// 21Vianet.
    AzureChinaCloud,
    /// GCC High and DoD.
    AzureUSGovernment,
    /// Its hosts are not public.
    AzureUSGovernment2,
    /// Its hosts are not public, either.
    AzureUSGovernment3,
}

impl Environment {
    /// All of them.
    pub const ALL: [Environment; 5] = [
        Environment::AzureCloud,
        Environment::AzureChinaCloud,
        Environment::AzureUSGovernment,
        Environment::AzureUSGovernment2,
        Environment::AzureUSGovernment3,
    ];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Environment::AzureCloud => "AzureCloud",
            Environment::AzureChinaCloud => "AzureChinaCloud",
            Environment::AzureUSGovernment => "AzureUSGovernment",
            Environment::AzureUSGovernment2 => "AzureUSGovernment2",
            Environment::AzureUSGovernment3 => "AzureUSGovernment3",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Environment::ALL.into_iter().find(|it| it.word() == word)
    }

    /// Whether its hosts are known here; else they must be typed.
    #[must_use]
    pub fn is_public(self) -> bool {
        self.sign_in_host().is_some()
    }

    /// Where one signs in.
    #[must_use]
    pub fn sign_in_host(self) -> Option<&'static str> {
        match self {
            Environment::AzureCloud => Some("login.microsoftonline.com"),
            Environment::AzureChinaCloud => Some("login.partner.microsoftonline.cn"),
            Environment::AzureUSGovernment => Some("login.microsoftonline.us"),
            Environment::AzureUSGovernment2 | Environment::AzureUSGovernment3 => None,
        }
    }

    /// The hosts that may be called: a name, or `.DOMAIN` for all below.
    #[must_use]
    pub fn hosts(self) -> &'static [&'static str] {
        match self {
            Environment::AzureCloud => &[".aadrm.com", "login.microsoftonline.com"],
            Environment::AzureChinaCloud => {
                &[".aadrm.cn", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn"]
            }
            Environment::AzureUSGovernment => &[
                ".aadrm.us",
                ".informationprotection.azure.us",
                "login.microsoftonline.us",
                "login-us.microsoftonline.com",
            ],
            Environment::AzureUSGovernment2 | Environment::AzureUSGovernment3 => &[],
        }
    }

    /// What tokens are asked for there.
    #[must_use]
    pub fn resource(self) -> Option<&'static str> {
        match self {
            Environment::AzureCloud => Some("https://aadrm.com"),
            Environment::AzureChinaCloud => Some("https://aadrm.cn"),
            Environment::AzureUSGovernment => Some("https://aadrm.us"),
            Environment::AzureUSGovernment2 | Environment::AzureUSGovernment3 => None,
        }
    }
}
