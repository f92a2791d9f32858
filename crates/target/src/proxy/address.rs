//! The address that a front binds.

use super::port_owner::{listens, port_owner};

/// A URL that a front cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment's url {url:?} {problem}")]
pub(crate) struct AddressError {
    url: String,
    problem: AddressProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum AddressProblem {
    #[error("is not a URL")]
    NoUrl,
    #[error("must begin with http://: Greenloop serves it itself, without TLS")]
    NotHttp,
    #[error("has no host")]
    NoHost,
    #[error("has no port")]
    NoPort,
}

/// What the environment's URL names, loopback for `localhost`: `127.0.0.1:8080`.
pub(crate) fn front_address(url: &str) -> Result<String, AddressError> {
    let bad = |problem| AddressError { url: url.to_owned(), problem };
    let parsed = url::Url::parse(url).map_err(|_| bad(AddressProblem::NoUrl))?;
    if parsed.scheme() != "http" {
        return Err(bad(AddressProblem::NotHttp));
    }
    let host = match parsed.host() {
        Some(url::Host::Domain("localhost")) => "127.0.0.1".to_owned(),
        Some(host) => host.to_string(),
        None => return Err(bad(AddressProblem::NoHost)),
    };
    let port = parsed.port_or_known_default().ok_or_else(|| bad(AddressProblem::NoPort))?;
    Ok(format!("{host}:{port}"))
}

/// Who listens at `address`, when it is neither nobody nor the process `own`.
pub(crate) fn address_owner(address: &str, own: Option<u32>) -> Option<Option<String>> {
    match std::net::TcpListener::bind(address) {
        Ok(_free) => None,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let port = address.rsplit(':').next()?.parse().ok()?;
            if own.is_some_and(|own| listens(own, port) == Some(true)) {
                return None;
            }
            let owner = port_owner(port);
            // Where it cannot be seen, it is most likely the supervisor.
            (own.is_none() || owner.is_some()).then_some(owner)
        }
        // The rollout reports what else is wrong with the address.
        Err(_) => None,
    }
}

/// That somebody else answers at `address`, which the process `own` ought to listen at.
pub(crate) fn foreign_listener(address: &str, own: u32) -> Option<String> {
    let port = address.rsplit(':').next()?.parse().ok()?;
    if listens(own, port) != Some(false) {
        return None;
    }
    let by =
        port_owner(port).map_or_else(|| "another program".to_owned(), |o| format!("process {o}"));
    Some(format!("the address {address} is in use by {by}"))
}

/// The URL of a target whose front listens at `front`: the configured one, unless that is another
/// address.
pub(crate) fn serving_url(configured: &str, front: Option<&str>) -> String {
    match front {
        Some(front) if front_address(configured).is_ok_and(|address| address != front) => {
            format!("http://{front}")
        }
        Some(_) | None => configured.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_binds_what_the_url_names() {
        for (url, expect) in [
            ("http://localhost:8080", Ok("127.0.0.1:8080")),
            ("http://0.0.0.0:80/", Ok("0.0.0.0:80")),
            ("http://[::1]:8080", Ok("[::1]:8080")),
            ("http://fleet.internal", Ok("fleet.internal:80")),
            ("https://127.0.0.1:1", Err("without TLS")),
            ("8080", Err("is not a URL")),
        ] {
            match (front_address(url), expect) {
                (Ok(address), Ok(expect)) => assert_eq!(address, expect),
                (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
                (found, _) => panic!("{url}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_url_is_where_the_front_listens() {
        for (configured, front, expect) in [
            ("http://localhost:80", Some("127.0.0.1:80"), "http://localhost:80"),
            ("http://localhost:80", Some("127.0.0.1:81"), "http://127.0.0.1:81"),
            ("http://localhost:80", None, "http://localhost:80"),
            ("https://fleet", Some("127.0.0.1:81"), "https://fleet"),
        ] {
            assert_eq!(serving_url(configured, front), expect);
        }
    }

    #[test]
    fn an_address_of_another_program_is_told_with_its_owner() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let own = std::process::id();
        // Of another process: a number near the own one is that of one of its threads.
        let other = std::os::unix::process::parent_id();
        let owner = address_owner(&address, None).unwrap().unwrap();
        assert!(owner.starts_with(&format!("{own} (")), "{owner}");
        assert!(address_owner(&address, Some(other)).is_some());
        assert_eq!(address_owner(&address, Some(own)), None);
        drop(listener);
        assert_eq!(address_owner(&address, None), None);
    }
}
