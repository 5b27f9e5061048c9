//! A value that must not be seen: no `Debug` output, no `Display`, wiped on drop.

mod password;

pub use password::{PasswordError, check_private, read_password};

use std::fmt;
use zeroize::Zeroize;

/// Holds a secret. Reading it takes a call that a reviewer can search for.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value over.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// Shows the value to the code that must use it.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Lets the value be filled.
    pub fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Secret(self.0.clone())
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_its_value() {
        let secret = Secret::new(String::from("canary-8f3a"));
        assert!(!format!("{secret:?}").contains("canary"));
    }
}
