//! Full text: which words stand in a text.

/// Words to look for, next to each other and in this order. Letters count alike in either case; what is no letter or digit
/// parts words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    text: String,
    words: Vec<String>,
}

impl Words {
    /// The words of a text; `None` when it has none.
    pub fn new(text: &str) -> Option<Self> {
        let words: Vec<String> = each(text).collect();
        (!words.is_empty()).then(|| Self { text: text.to_owned(), words })
    }

    /// As given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Each of them, in small letters.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether they stand in `text`.
    pub fn stand_in(&self, text: &str) -> bool {
        let there: Vec<String> = each(text).collect();
        there.windows(self.words.len()).any(|window| window == self.words)
    }
}

/// The words of a text, in small letters.
pub(super) fn each(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}
