//! One key for an account, however its name is written.

use icu_normalizer::DecomposingNormalizerBorrowed;
use std::hash::{BuildHasher, RandomState};

/// An account, as far as failed logins are counted. A hash that nobody outside can foresee: names are as long as
/// strangers make them, and nobody can make two collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::front) struct AccountKey(u64);

/// Makes the keys of one process.
#[derive(Debug, Default)]
pub(in crate::front) struct AccountKeys {
    hasher: RandomState,
}

impl AccountKeys {
    /// The account that a client claims to be. The domain is left out: NetBIOS name, DNS name and the suffixes of
    /// UPNs are all one domain, and accounts of the same name in two domains may share what may fail.
    pub(in crate::front) fn of(&self, user: &str) -> AccountKey {
        AccountKey(self.hasher.hash_one(skeleton(user)))
    }

    /// The same, where no other account may be meant.
    pub(in crate::front) fn exact(&self, user: &str) -> AccountKey {
        AccountKey(self.hasher.hash_one(exact(user)))
    }
}

/// The name without its domain, but for case as it is written.
fn exact(user: &str) -> String {
    user.rsplit('\\').next().unwrap_or_default().to_lowercase()
}

/// Active Directory finds `EXCH01$` also as `exch01$`, and as `éxch01$`: case, accents and width do not count.
/// Whether a `$` does depends on who looks. What is neither letter nor digit is left out with them.
fn skeleton(user: &str) -> String {
    let name = user.rsplit('\\').next().unwrap_or_default();
    let name = name.split('@').next().unwrap_or_default();
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(name);
    decomposed.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_one_however_it_is_written() {
        let keys = AccountKeys::default();
        for name in [
            "EXCH01$",
            "exch01$",
            "exch01$@contoso.test",
            "EXCH01$@CONTOSO.TEST",
            "exch01$@other.suffix",
            r"CONTOSO\EXCH01$",
            "exch01",
            " exch01$ ",
            "éxch01$",
            "e\u{301}xch01$",
            "ＥＸＣＨ０１$",
        ] {
            assert_eq!(keys.of(name), keys.of("EXCH01$"), "{name}");
        }
        for other in ["EXCH02$", "exch0", "exch011", ""] {
            assert_ne!(keys.of(other), keys.of("EXCH01$"), "{other}");
        }
    }
}
