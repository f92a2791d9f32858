use super::*;

fn text(asset: &Asset) -> &str {
    std::str::from_utf8(&asset.bytes).unwrap()
}

#[test]
fn the_page_is_at_the_root() {
    let page = asset("/").unwrap();
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    assert_eq!(asset("/index.html").unwrap().etag, page.etag);
    assert!(page.etag.len() == 34 && page.etag.starts_with('"') && page.etag.ends_with('"'));
}

#[test]
fn nothing_but_its_files_is_found() {
    for path in
        ["/js", "/js/", "/none.js", "/../mod.rs", "/js/../../mod.rs", "/package.json", "/.."]
    {
        assert!(asset(path).is_none(), "{path}");
    }
}

#[test]
fn every_file_can_be_served() {
    for name in Assets::iter() {
        assert!(asset(&name).is_some(), "{name}");
    }
}

/// What a module or a page names is there: no build step would notice otherwise.
#[test]
fn what_is_named_is_there() {
    let named =
        regex::Regex::new(r#"(?:from|href=|src=) ?['"](\.{0,2}[a-z_./]+\.(?:js|css|svg))['"]"#)
            .unwrap();
    let mut seen = 0;
    for name in Assets::iter() {
        let file = asset(&name).unwrap();
        for capture in named.captures_iter(text(&file)) {
            let base = url::Url::parse("http://hub/").unwrap().join(&name).unwrap();
            let target = base.join(&capture[1]).unwrap();
            assert!(asset(target.path()).is_some(), "{name} names {}", &capture[1]);
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

/// The policy forbids these in the browser; here nobody has to look for what does not work.
#[test]
fn nothing_is_inline_and_nothing_is_elsewhere() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        " style=\"",
        "<style",
        "<script>",
        "javascript:",
        "@import",
        "localStorage",
    ];
    for name in Assets::iter() {
        let file = asset(&name).unwrap();
        for word in forbidden {
            assert!(!text(&file).contains(word), "{name} contains {word}");
        }
        let elsewhere = text(&file).replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{name}");
    }
}

/// Small enough that a phone on a slow line waits a second, not ten.
#[test]
fn the_whole_is_small() {
    let bytes: usize = Assets::iter().map(|name| asset(&name).unwrap().bytes.len()).sum();
    assert!(bytes < 300 << 10, "{bytes} bytes");
}
