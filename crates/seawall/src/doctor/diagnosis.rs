//! A failure that was found, and how it is told.

use serde_json::{Value, json};

use super::{
    Examined,
    case::{Case, Text},
};
use crate::{config::Settings, output::plain};

/// A failure that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) case: Case,
    /// What shows it: addresses, names, the words of others.
    seen: String,
    mend: String,
}

impl Diagnosis {
    pub(super) fn new(case: Case, seen: impl Into<String>) -> Self {
        Self {
            case,
            seen: plain(&seen.into()),
            mend: case.text().mend.to_owned(),
        }
    }

    /// Puts what is known in the place of `$word`.
    pub(super) fn with(mut self, word: &str, value: impl AsRef<str>) -> Self {
        self.mend = self.mend.replace(&format!("${word}"), value.as_ref());
        self
    }

    /// Puts in what all diagnoses know.
    pub(super) fn fill_in(&mut self, settings: &Settings) {
        let file = settings.file.display().to_string();
        self.mend = self.mend.replace("$FILE", &file);
    }
}

/// `{"diagnoses": [{"case", "title", "seen", "cause", "mend"}, …], "page_not_seen": …}`; the latter
/// is why the page was not looked at, or null.
pub(super) fn in_json(examined: &Examined) -> String {
    let diagnoses: Vec<Value> = examined.diagnoses.iter().map(one_in_json).collect();
    json!({ "diagnoses": diagnoses, "page_not_seen": examined.unseen }).to_string()
}

fn one_in_json(diagnosis: &Diagnosis) -> Value {
    let Text {
        name, title, cause, ..
    } = diagnosis.case.text();
    let Diagnosis { seen, mend, .. } = diagnosis;
    json!({ "case": name, "title": title, "seen": seen, "cause": cause, "mend": mend })
}

pub(super) fn in_words(examined: &Examined) -> String {
    let Examined { diagnoses, unseen } = examined;
    if let Some(reason) = unseen
        && diagnoses.is_empty()
    {
        return format!(
            "nothing found: store, nodes, balancer and machine are as they should be; the page was \
             not looked at: {reason}; name another one with --page"
        );
    }
    if diagnoses.is_empty() {
        return "nothing found: store, nodes, balancer, page and machine are as they should be"
            .into();
    }
    let told: Vec<_> = diagnoses.iter().map(one_in_words).collect();
    told.join("\n\n")
}

fn one_in_words(diagnosis: &Diagnosis) -> String {
    let Text {
        name, title, cause, ..
    } = diagnosis.case.text();
    let Diagnosis { seen, mend, .. } = diagnosis;
    format!("{name}: {title}\n  seen   {seen}\n  cause  {cause}\n  mend   {mend}")
}
