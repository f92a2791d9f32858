//! `WWW-Authenticate`: how a registry wants one to log in.

/// One challenge of RFC 9110.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from a server of its own.
    Bearer {
        /// The token server's address.
        realm: String,
        /// The name it knows the registry by.
        service: Option<String>,
        /// What a token must be for.
        scope: Option<String>,
    },
}

/// The challenge to answer, of all that the headers make: a bearer token where one is offered.
pub(super) fn strongest<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.into_iter().flat_map(parse).collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

/// The challenges of one header that are understood.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme: Option<String> = None;
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace());
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = read_value(value);
            parameters.push((name.to_ascii_lowercase(), value));
            rest = after.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        } else {
            found.extend(scheme.take().and_then(|scheme| made(&scheme, &parameters)));
            parameters.clear();
            scheme = (!name.is_empty()).then(|| name.to_ascii_lowercase());
            rest = after.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        }
    }
    found.extend(scheme.and_then(|scheme| made(&scheme, &parameters)));
    found
}

/// A token or a quoted string, and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            c => value.push(c),
        }
    }
    (value, "")
}

fn made(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: get("realm")?,
            service: get("service"),
            scope: get("scope"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_servers_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        for (headers, expect) in [
            (&["Basic realm=\"Registry Realm\""][..], Some(Challenge::Basic)),
            (&["basic"][..], Some(Challenge::Basic)),
            (
                &["Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                   scope=\"repository:library/busybox:pull,push\""][..],
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/busybox:pull,push"),
                ),
            ),
            (&["Bearer  realm = x"][..], None),
            (
                &["Bearer service=a, realm=https://x/t, error=\"invalid_token\""][..],
                bearer("https://x/t", Some("a"), None),
            ),
            (
                &["Basic realm=\"a, b\", Bearer realm=\"https://x/\\\"t\""][..],
                bearer("https://x/\"t", None, None),
            ),
            (
                &["Basic realm=\"r\"", "Bearer realm=\"https://x\""][..],
                bearer("https://x", None, None),
            ),
            (&["Negotiate", "Basic realm=\"r\""][..], Some(Challenge::Basic)),
            (&["Bearer service=\"x\""][..], None),
            (&["Digest qop=\"auth\""][..], None),
            (&["", ",,", "\"", "Bearer realm=\"open"][..], bearer("open", None, None)),
        ] {
            assert_eq!(strongest(headers.iter().copied()), expect, "{headers:?}");
        }
    }
}
