//! The dashboard: the files that a browser gets, out of the binary itself.
//!
//! Lives here: `assets/`, plain HTML, style sheets and modules that no build step touches, and
//! how they are found by the path of a request. Who asks, over what, and whether they may, is the
//! HTTP layer's affair: nothing here knows a server.
//!
//! Invariant: the files need nothing else, no other host, no inline script, no inline style, so
//! that [`POLICY`] can be as strict as it is.

use std::borrow::Cow;

use rust_embed::RustEmbed;

#[cfg(test)]
mod tests;

/// The `Content-Security-Policy` that the page is served with, and is tested under.
pub const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "src/dashboard/assets/"]
struct Assets;

/// One file of the dashboard.
#[derive(Debug, Clone)]
pub struct Asset {
    /// What it contains.
    pub bytes: Cow<'static, [u8]>,
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// For `ETag`, quotes included: changes with the content.
    pub etag: String,
}

/// The file for the path of a request, `/js/main.js`; `/` is the page itself. `None` for every
/// path that is not a file of the dashboard.
///
/// A debug build reads `assets/` each time, so that an edit is seen by loading the page again; a
/// release has the files in it.
pub fn asset(path: &str) -> Option<Asset> {
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let content_type = content_type(name)?;
    let file = Assets::get(name)?;
    let etag =
        file.metadata.sha256_hash()[..16].iter().fold(String::from("\""), |mut tag, byte| {
            tag.push_str(&format!("{byte:02x}"));
            tag
        }) + "\"";
    Some(Asset { bytes: file.data, content_type, etag })
}

/// The kinds of files that the dashboard has.
fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}
