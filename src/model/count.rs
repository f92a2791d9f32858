//! Numbers with their nouns.

/// `1 file`, `2 files`.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        for (n, expect) in [(0, "0 tries"), (1, "1 try"), (2, "2 tries")] {
            assert_eq!(counted(n, "try", "tries"), expect);
        }
    }
}
