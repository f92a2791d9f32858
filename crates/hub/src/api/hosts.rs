//! What this hub is called: a page that somebody's name server suddenly says is at this address
//! (DNS rebinding) is not let in.

use std::net::IpAddr;

/// Names that requests may be addressed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any: nothing is had here without a token, and no page of another name has one.
    Any,
    /// This machine's own names, and these.
    Local(Vec<String>),
    /// These, and addresses.
    Named(Vec<String>),
}

impl Hosts {
    /// Whether a `Host` header is one of them; the port does not matter.
    pub(super) fn allow(&self, host: &str) -> bool {
        let name = without_port(host);
        let listed = |names: &[String]| names.iter().any(|one| one.eq_ignore_ascii_case(name));
        match self {
            Self::Any => true,
            Self::Local(names) => {
                name.eq_ignore_ascii_case("localhost")
                    || address(name).is_some_and(|it| it.is_loopback())
                    || listed(names)
            }
            Self::Named(names) => address(name).is_some() || listed(names),
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // `[::1]` has colons of its own.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

fn address(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_names_are_answered() {
        let local = Hosts::Local(vec!["hub.test".to_owned()]);
        let named = Hosts::Named(vec!["hub.test".to_owned()]);
        for (host, here, there) in [
            ("localhost:7474", true, false),
            ("LOCALHOST", true, false),
            ("127.0.0.1:7474", true, true),
            ("[::1]:7474", true, true),
            ("[::1]", true, true),
            ("10.0.0.7:7474", false, true),
            ("hub.test:443", true, true),
            ("evil.example", false, false),
            ("localhost.evil.example", false, false),
            ("", false, false),
        ] {
            assert_eq!(local.allow(host), here, "{host}");
            assert_eq!(named.allow(host), there, "{host}");
            assert!(Hosts::Any.allow(host));
        }
    }
}
