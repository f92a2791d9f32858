//! Which hosts a command may reach.

use std::fmt;
use std::str::FromStr;

use super::ids::serde_as_text;

/// What a command may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// Hosts of a list, by HTTP and HTTPS, through a proxy.
    Hosts(Vec<HostPattern>),
    /// Everything.
    All,
}

impl Network {
    /// Everything, or nothing.
    pub fn all_or_none(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }

    /// Whether it is not nothing.
    pub fn is_some(&self) -> bool {
        *self != Self::None
    }
}

/// A host, or every host below a domain, at its usual ports or at one: `crates.io`, `*.npmjs.org`,
/// `nexus.example.org:8443`, `[::1]:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower-case, without a final dot and without brackets.
    host: String,
    /// Whether it stands for every host below `host`, and not for that one.
    below: bool,
    /// 80 and 443 for `None`.
    port: Option<u16>,
}

/// A text that is no pattern of hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host: write crates.io, *.npmjs.org or nexus.example.org:8443")]
pub struct InvalidHost(pub String);

impl HostPattern {
    /// Whether a host and a port are meant. An address is only meant where it stands itself.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let host = normal(host);
        let port_fits = match self.port {
            Some(own) => own == port,
            None => matches!(port, 80 | 443),
        };
        let host_fits = if self.below {
            host.strip_suffix(&self.host)
                .and_then(|above| above.strip_suffix('.'))
                .is_some_and(|above| !above.is_empty())
        } else {
            host == self.host
        };
        port_fits && host_fits
    }
}

fn normal(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => {
                let _address: std::net::Ipv6Addr = address.parse().map_err(|_| invalid())?;
                (address, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, Some("")),
            },
        };
        let port = match port.ok_or_else(invalid)? {
            "" if text.ends_with(':') => return Err(invalid()),
            "" => None,
            port => Some(port.parse().map_err(|_| invalid())?),
        };
        let (host, below) = match host.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (host, false),
        };
        let host = normal(host);
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
        // `*.org` would be a list of everything.
        let is_too_wide = below && (is_address || !host.contains('.'));
        if (is_address || is_name) && !is_too_wide && port != Some(0) {
            Ok(Self { host, below, port })
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, below, port } = self;
        if *below {
            f.write_str("*.")?;
        }
        if host.contains(':') {
            write!(f, "[{host}]")?
        } else {
            f.write_str(host)?
        }
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

serde_as_text!(HostPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_its_host_and_ports_and_no_others() {
        for (pattern, host, port, expect) in [
            ("crates.io", "crates.io", 443, true),
            ("crates.io", "CRATES.io.", 80, true),
            ("crates.io", "crates.io", 8443, false),
            ("crates.io", "static.crates.io", 443, false),
            ("crates.io", "evilcrates.io", 443, false),
            ("*.crates.io", "static.crates.io", 443, true),
            ("*.crates.io", "a.b.crates.io", 443, true),
            ("*.crates.io", "crates.io", 443, false),
            ("*.crates.io", ".crates.io", 443, false),
            ("*.crates.io", "evilcrates.io", 443, false),
            ("*.crates.io", "crates.io.example.org", 443, false),
            ("nexus.example.org:8443", "nexus.example.org", 8443, true),
            ("nexus.example.org:8443", "nexus.example.org", 443, false),
            ("127.0.0.1:80", "127.0.0.1", 80, true),
            ("localhost", "127.0.0.1", 80, false),
            ("[::1]:80", "[::1]", 80, true),
            ("[::1]:80", "::1", 80, true),
        ] {
            let pattern: HostPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(host, port), expect, "{pattern} {host}:{port}");
            assert_eq!(pattern.to_string().parse::<HostPattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*.org",
            "a b",
            "https://crates.io",
            "crates.io/x",
            "a..b",
            "a:0",
            "a:x",
            "a:",
            "a:70000",
            "*.127.0.0.1",
            "[::1",
            "[::1]x",
            "user@host",
            "a\nb",
            "*a.b.c",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
        }
    }
}
