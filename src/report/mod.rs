mod diff;
mod figures;
mod human;
pub mod json;
mod line;
mod live;
mod narrate;
mod plain;
mod reporter;
pub mod safe_text;
#[cfg(test)]
mod samples;
mod summary;
mod verdict;

/// The report's name within a run's folder.
pub const HTML_FILE: &str = "report.html";

#[cfg(test)]
mod tests {
    use super::reporter::Reporter;
    use super::*;

    #[test]
    fn show() {
        let which = std::env::var("SHOW").unwrap_or_default();
        let mut out = Vec::new();
        let events =
            if which.contains("restored") { samples::restored() } else { samples::healed() };
        let mut r: Box<dyn Reporter> = if which.contains("plain") {
            Box::new(plain::Plain::new(&mut out))
        } else {
            Box::new(human::Human::new(&mut out, which.contains("color"), false))
        };
        for e in &events {
            r.event(e.at, &e.event).unwrap();
        }
        drop(r);
        println!("{}", String::from_utf8(out).unwrap());
    }
}
