//! Numbers with their nouns.

/// `1 file`, `2 files`.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `once`, `twice`, `3 times`.
pub fn times(n: u32) -> String {
    match n {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_of_times_have_words() {
        assert_eq!([0, 1, 2, 3].map(times), ["0 times", "once", "twice", "3 times"]);
    }

    #[test]
    fn one_is_not_many() {
        for (n, expect) in [(0, "0 tries"), (1, "1 try"), (2, "2 tries")] {
            assert_eq!(counted(n, "try", "tries"), expect);
        }
    }
}
