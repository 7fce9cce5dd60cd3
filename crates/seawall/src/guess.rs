//! What somebody may have meant who misspelt a word.

/// A guess is offered when at least this much of a word is right.
const SIMILARITY: f64 = 0.7;

/// The known word that comes nearest to another one, if it comes near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &str| strsim::normalized_damerau_levenshtein(word, known);
    known
        .into_iter()
        .max_by(|a, b| near(a).total_cmp(&near(b)))
        .filter(|known| near(known) >= SIMILARITY)
}
