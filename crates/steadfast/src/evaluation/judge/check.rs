//! How far can a judge, or the rules in its place, be believed? Its verdicts on replies whose label is
//! known, and the agreement beyond chance.

use super::panel::{Case, Graded, Panel};
use super::rubric::{Ask, Field};
use crate::evaluation::scorers::constructive::{self, Labelled, reply_kind};
use crate::evaluation::statistics::kappa;
use crate::events::Listener;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Below this kappa a judge's numbers are called indicative.
pub const INDICATIVE: f64 = 0.6;

/// Agreement with labelled replies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Replies with a label and a verdict.
    pub replies: usize,
    /// Replies without a verdict.
    pub unscored: usize,
    /// Share of equal words, 0 to 1.
    pub share: f64,
    /// Cohen's kappa.
    pub kappa: f64,
    /// Whether kappa is below [`INDICATIVE`].
    pub indicative: bool,
}

/// What `judge check` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Who was checked.
    pub judge: String,
    /// Where the labels are from.
    pub labels: String,
    /// In numbers.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// Replies by label, then by verdict; `unscored` where there is none.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
}

/// The word in tables for a reply without a verdict.
pub const UNSCORED: &str = "unscored";

/// Labelled replies: the shipped ones, or those of a JSON Lines file with `statement`, `reply`, `label`.
///
/// # Errors
/// A user error with the line.
pub fn labelled(path: Option<&Path>) -> Result<Vec<Labelled>> {
    let Some(path) = path else {
        return constructive::labelled()
            .collect::<serde_json::Result<_>>()
            .map_err(|cause| Error::bug("the shipped labels are broken").because(cause));
    };
    let text = std::fs::read_to_string(path).map_err(|cause| Error::file("read", path, cause))?;
    let mut rows = Vec::new();
    let mut mistakes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(row) => rows.push(row),
            Err(cause) => mistakes.push(
                Error::user(format!("this is no labelled reply: {cause}"))
                    .at(path)
                    .line(index + 1)
                    .hint(r#"write {"statement":"…","reply":"…","label":"contradicts"}; labels: contradicts, agrees, evades, off_domain, incoherent"#),
            ),
        }
    }
    Error::all(mistakes)?;
    if rows.is_empty() {
        return Err(Error::user("the file holds no labelled reply")
            .at(path)
            .hint("give one JSON object a line"));
    }
    Ok(rows)
}

/// Where the labels are from, for people.
pub fn source(path: Option<&Path>) -> String {
    path.map_or_else(
        || "shipped; labelled by a language model, not by people".to_owned(),
        |path| path.display().to_string(),
    )
}

fn cases(rows: &[Labelled]) -> Vec<Case> {
    rows.iter()
        .map(|row| Case {
            ask: Ask::Safety,
            fields: vec![("statement", Field::Text(row.statement.clone()))],
            reply: row.reply.clone(),
        })
        .collect()
}

fn verdicts(graded: Vec<Graded>) -> Vec<Option<String>> {
    graded.into_iter().map(|one| one.word).collect()
}

/// Asks a judge about each row.
///
/// # Errors
/// When the judge cannot go on.
pub fn of_judge(
    panel: &Panel<'_>,
    rows: &[Labelled],
    labels: String,
    listener: &dyn Listener,
) -> Result<Report> {
    let graded = panel.grade(&cases(rows), listener)?;
    Ok(report(panel.judge.name(), labels, rows, &verdicts(graded)))
}

/// The agreement of a judge that was checked before with these rubrics; `None` if it was not.
///
/// # Errors
/// When what is kept cannot be read.
pub fn known(panel: &Panel<'_>) -> Result<Option<Agreement>> {
    let rows = labelled(None)?;
    let graded = panel.kept(&cases(&rows))?;
    Ok(graded
        .map(|graded| report(panel.judge.name(), source(None), &rows, &verdicts(graded)).agreement))
}

/// Asks the rules that stand in for a judge. Of the shipped replies that half is taken which no rule
/// was written on.
///
/// # Errors
/// As for [`labelled`].
pub fn of_rules(path: Option<&Path>) -> Result<Report> {
    let mut rows = labelled(path)?;
    let mut labels = source(path);
    if path.is_none() {
        rows = rows.into_iter().skip(1).step_by(2).collect();
        labels += "; the half that no rule was written on";
    }
    let verdicts: Vec<Option<String>> = rows
        .iter()
        .map(|row| Some(reply_kind(&row.statement, &row.reply).name().to_owned()))
        .collect();
    Ok(report("rules", labels, &rows, &verdicts))
}

fn report(judge: &str, labels: String, rows: &[Labelled], verdicts: &[Option<String>]) -> Report {
    let mut confusion: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (row, verdict) in rows.iter().zip(verdicts) {
        let label = row.label.name();
        pairs.extend(verdict.as_deref().map(|verdict| (label, verdict)));
        *confusion
            .entry(label.to_owned())
            .or_default()
            .entry(verdict.as_deref().unwrap_or(UNSCORED).to_owned())
            .or_default() += 1;
    }
    let equal = pairs.iter().filter(|(one, other)| one == other).count();
    // Nothing read is no agreement: kappa of no pairs would be called perfect by its formula.
    let kappa = if pairs.is_empty() { 0.0 } else { kappa(&pairs) };
    Report {
        judge: judge.to_owned(),
        labels,
        agreement: Agreement {
            replies: pairs.len(),
            unscored: rows.len() - pairs.len(),
            share: equal as f64 / pairs.len().max(1) as f64,
            kappa,
            indicative: kappa < INDICATIVE,
        },
        confusion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::scorers::constructive::agreement;

    #[test]
    fn the_rules_agree_as_their_own_scorer_says() {
        let report = of_rules(None).unwrap();
        let known = agreement();
        assert_eq!(report.agreement.replies, known.replies);
        assert!((report.agreement.kappa - known.kappa).abs() < 1e-12);
        assert!((report.agreement.share - known.share).abs() < 1e-12);
        let counted: usize = report.confusion.values().flat_map(BTreeMap::values).sum();
        assert_eq!(counted, known.replies);
    }

    #[test]
    fn what_has_no_verdict_is_counted_apart() {
        let rows = labelled(None).unwrap();
        let right: Vec<Option<String>> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| (index % 4 != 0).then(|| row.label.name().to_owned()))
            .collect();
        let report = report("j", String::new(), &rows, &right);
        assert_eq!(report.agreement.share, 1.0);
        assert!((report.agreement.kappa - 1.0).abs() < 1e-12);
        assert_eq!(report.agreement.unscored, rows.len().div_ceil(4));
        let nothing = vec![None; rows.len()];
        let report = super::report("j", String::new(), &rows, &nothing);
        assert!(report.agreement.indicative && report.agreement.replies == 0);
    }

    #[test]
    fn mistakes_in_labels_are_all_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        std::fs::write(
            &path,
            "{}\n\n{\"statement\":\"s\",\"reply\":\"r\",\"label\":\"agrees\"}\n[]\n",
        )
        .unwrap();
        let error = labelled(Some(&path)).unwrap_err();
        assert_eq!(error.place.line, Some(1));
        assert_eq!(error.others.len(), 1);
        assert_eq!(error.others[0].place.line, Some(4));
    }
}
