//! Requests that a service may answer in addition to its health check: pages in its folder, routes
//! that its sources name.

use regex::Regex;

use crate::files::Files;

/// Sources that are looked through.
const MOST_SOURCES: usize = 400;
const SOURCES: &str = "**/*.{rs,py,js,mjs,cjs,ts,tsx,go,java,kt,cs,fs,rb,php}";
/// The files of a file server other than its first page, pages first.
const SERVED: [&str; 2] = ["**/*.{html,htm}", "**/*.{css,js,svg,json,txt}"];
/// Paths that are worth a try.
const MOST: usize = 8;

/// Paths below `folder` that a `GET` without parameters may answer, the likeliest first.
pub(crate) fn pages(files: &Files, folder: &str, serves_files: bool) -> Vec<String> {
    let mut found = if serves_files { served(files, folder) } else { routes(files, folder) };
    found.truncate(MOST);
    found
}

fn served(files: &Files, folder: &str) -> Vec<String> {
    let inside = |path: &str| match folder {
        "" => format!("/{path}"),
        folder => path.strip_prefix(folder).unwrap_or(path).to_owned(),
    };
    // What a URL would have to escape is left out.
    let plain = |path: &String| {
        path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b))
            && !path.split('/').any(|part| part.starts_with('.') || part == "index.html")
            && !path.contains("node_modules/")
    };
    SERVED.iter().flat_map(|glob| files.matching(folder, glob)).map(inside).filter(plain).collect()
}

/// Routes of the frameworks that people use: `app.get('/orders'`, `@app.route("/orders")`,
/// `HandleFunc("GET /orders"`, `path == '/orders'`.
fn routes(files: &Files, folder: &str) -> Vec<String> {
    const ROUTE: &str = r#"(?i)(?:\bget|mapping|route|handle(?:func)?|\b(?:path(?:name)?|url)\s*(?:===?|in)|case)[\s(\[]{0,4}["'`](?:get )?(/[\w./-]{1,60})["'`]"#;
    let Ok(route) = Regex::new(ROUTE) else { return Vec::new() };
    let mut found: Vec<String> = Vec::new();
    for path in files.matching(folder, SOURCES).into_iter().take(MOST_SOURCES) {
        if is_of_tests(path) {
            continue;
        }
        let Some(text) = files.text(path) else { continue };
        for name in route.captures_iter(&text).filter_map(|found| Some(found.get(1)?.as_str())) {
            let name = name.trim_end_matches('/');
            if !name.is_empty() && !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

fn is_of_tests(path: &str) -> bool {
    path.split('/').any(|part| {
        matches!(part, "test" | "tests" | "__tests__" | "spec")
            || part.starts_with("test_")
            || [".test.", ".spec.", "_test."].iter().any(|mark| part.contains(mark))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::written;

    #[test]
    fn routes_are_those_of_a_get_without_parameters() {
        let (_folder, files) = written([
            (
                "a.js",
                "app.get('/orders', list);\napp.get('/orders/:id', one);\napp.post('/pay', x)",
            ),
            (
                "b.py",
                "@app.route(\"/report\")\n@router.get('/items/{id}')\nif self.path == '/menu':",
            ),
            ("c.go", "mux.HandleFunc(\"GET /fleet\", f); http.HandleFunc(\"/static/\", g)"),
            ("D.java", "@GetMapping(\"/cars\") class D {}"),
            ("tests/e.js", "await request.get('/made-up')"),
            ("f_test.go", "http.HandleFunc(\"/played\", f)"),
        ]);
        let found = pages(&files, "", false);
        assert_eq!(found, ["/cars", "/orders", "/report", "/menu", "/fleet", "/static"]);
    }

    #[test]
    fn a_server_of_files_answers_the_files() {
        let (_folder, files) = written([
            ("site/index.html", ""),
            ("site/about.html", ""),
            ("site/css/style.css", ""),
            ("site/a b.html", ""),
            ("site/.well-known/x.txt", ""),
            ("other.html", ""),
        ]);
        assert_eq!(pages(&files, "site", true), ["/about.html", "/css/style.css"]);
        assert_eq!(pages(&files, "", true)[0], "/other.html");
    }
}
