//! Addresses of repositories, as they may be shown.

/// An address as it may be shown.
pub(super) fn without_login(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit_once('@').map_or(host, |(_login, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_their_login() {
        for (address, shown) in [
            ("https://me:key@host/a/b@c.git", "https://host/a/b@c.git"),
            ("https://host/a.git", "https://host/a.git"),
            ("ssh://git@host:22/a", "ssh://host:22/a"),
            ("/srv/a@b.git", "/srv/a@b.git"),
        ] {
            assert_eq!(without_login(address), shown);
        }
    }
}
