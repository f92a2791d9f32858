//! What would be written, as a unified diff.

use similar::TextDiff;

use crate::proposal::ProposedFile;

/// The files, each as a diff against what is there.
pub fn preview(files: &[ProposedFile]) -> String {
    let mut text = String::new();
    for file in files {
        let before = file.before.as_deref().unwrap_or_default();
        let old = match file.before {
            Some(_) => format!("a/{}", file.path),
            None => "/dev/null".to_owned(),
        };
        let new = format!("b/{}", file.path);
        let diff = TextDiff::from_lines(before, &file.text);
        text.push_str(&diff.unified_diff().header(&old, &new).to_string());
    }
    text
}
