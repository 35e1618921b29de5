//! Puts replies to a judge: what is kept is not asked again, what is asked is kept at once.

use super::cache::{Cache, Key};
use super::rubric::{Ask, Field, Rubrics};
use super::verdict;
use super::{Answer, Judge, Question};
use crate::digest;
use crate::events::{Event, Listener};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};

/// One reply to be graded.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The question.
    pub ask: Ask,
    /// The rubric's fields but for the reply.
    pub fields: Vec<(&'static str, Field)>,
    /// The reply.
    pub reply: String,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graded {
    /// The verdict; `None` where no answer could be read, or where the samples do not agree.
    pub word: Option<String>,
    /// Why, in the judge's words.
    pub reason: String,
    /// What the verdict counts, 0 to 1; `None` is unscored: neither wrong nor zero.
    pub score: Option<f64>,
}

/// A judge with its rubrics and what it said before.
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    /// The judge.
    pub judge: &'a dyn Judge,
    /// What it is asked.
    pub rubrics: &'a Rubrics,
    /// What it said before.
    pub cache: &'a Cache,
    /// Answers to each question; the verdict is that of most.
    pub samples: u32,
}

impl Panel<'_> {
    /// Grades each case, in order.
    ///
    /// # Errors
    /// When the judge cannot go on. What it said until then is kept.
    pub fn grade(&self, cases: &[Case], listener: &dyn Listener) -> Result<Vec<Graded>> {
        let keys = self.keys(cases)?;
        let mut answers = self.found(&keys)?;
        let mut missing: Vec<(&Key, Question)> = Vec::new();
        let mut asked = std::collections::BTreeSet::new();
        for (case, keys) in cases.iter().zip(&keys) {
            for key in keys {
                // Two items may hold the same question, and two models give the same reply.
                if !answers.contains_key(key) && asked.insert(key) {
                    missing.push((key, self.question(case, key.sample)?));
                }
            }
        }
        if !missing.is_empty() {
            let kept = answers.len();
            self.ask(&missing, kept, &mut answers, listener)?;
        }
        self.read(cases, &keys, &answers)
    }

    /// As [`Panel::grade`], from what is kept alone; `None` where anything is missing.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn kept(&self, cases: &[Case]) -> Result<Option<Vec<Graded>>> {
        let keys = self.keys(cases)?;
        let answers = self.found(&keys)?;
        if keys.iter().flatten().any(|key| !answers.contains_key(key)) {
            return Ok(None);
        }
        self.read(cases, &keys, &answers).map(Some)
    }

    fn ask(
        &self,
        missing: &[(&Key, Question)],
        kept: usize,
        answers: &mut HashMap<Key, Answer>,
        listener: &dyn Listener,
    ) -> Result<()> {
        let questions: Vec<Question> = missing
            .iter()
            .map(|(_, question)| question.clone())
            .collect();
        listener.on(Event::Note {
            message: self.plan(&questions, kept),
        });
        let stage = format!("judging with {}", self.judge.name());
        listener.on(Event::StageStarted {
            stage: stage.clone(),
            total: questions.len() as u64,
            unit: "verdicts",
        });
        let mut done = 0;
        self.judge.answer(&questions, &mut |index, answer| {
            let Some((key, _)) = missing.get(index) else {
                return Err(Error::bug("an answer to no question"));
            };
            self.cache.put(key, &answer)?;
            answers.insert((*key).clone(), answer);
            done += 1;
            listener.on(Event::StageAdvanced { done });
            Ok(())
        })?;
        listener.on(Event::StageFinished {
            stage,
            reused: false,
        });
        Ok(())
    }

    /// What will be asked, and what that likely costs.
    fn plan(&self, questions: &[Question], kept: usize) -> String {
        let cost: Option<f64> = questions
            .iter()
            .map(|question| self.judge.estimate(question))
            .sum();
        let cost = match cost {
            Some(0.0) => String::new(),
            Some(cost) => format!(", about ${cost:.4}"),
            None => ", at a price that is not known (--judge-price)".into(),
        };
        format!(
            "{} is asked {} questions{cost}; {kept} verdicts are kept from before",
            self.judge.name(),
            questions.len()
        )
    }

    fn keys(&self, cases: &[Case]) -> Result<Vec<Vec<Key>>> {
        let judge = self.judge.identity();
        cases
            .iter()
            .map(|case| {
                let rubric = &self.rubrics.of(case.ask)?.sha256;
                let fields = serde_json::to_string(&case.fields)
                    .map_err(|cause| Error::bug("a case has no JSON form").because(cause))?;
                let (item, reply) = (digest::of(fields), digest::of(&case.reply));
                Ok((0..self.samples.max(1))
                    .map(|sample| Key {
                        judge: judge.clone(),
                        rubric: rubric.clone(),
                        item: item.clone(),
                        reply: reply.clone(),
                        sample,
                    })
                    .collect())
            })
            .collect()
    }

    fn question(&self, case: &Case, sample: u32) -> Result<Question> {
        let rubric = self.rubrics.of(case.ask)?;
        let mut fields = case.fields.clone();
        fields.push(("reply", Field::Text(case.reply.clone())));
        Ok(Question {
            system: rubric.system.clone(),
            prompt: rubric.prompt(&fields)?,
            sample,
        })
    }

    fn found(&self, keys: &[Vec<Key>]) -> Result<HashMap<Key, Answer>> {
        let mut found = HashMap::new();
        for key in keys.iter().flatten() {
            if let Some(answer) = self.cache.get(key)? {
                found.insert(key.clone(), answer);
            }
        }
        Ok(found)
    }

    fn read(
        &self,
        cases: &[Case],
        keys: &[Vec<Key>],
        answers: &HashMap<Key, Answer>,
    ) -> Result<Vec<Graded>> {
        cases
            .iter()
            .zip(keys)
            .map(|(case, keys)| {
                let rubric = self.rubrics.of(case.ask)?;
                let verdicts: Vec<Option<verdict::Verdict>> = keys
                    .iter()
                    .map(|key| {
                        let answer = answers
                            .get(key)
                            .ok_or_else(|| Error::bug("a question without an answer"))?;
                        Ok(verdict::read(&answer.text, rubric.words()))
                    })
                    .collect::<Result<_>>()?;
                Ok(
                    majority(verdicts).map_or_else(Graded::default, |verdict| Graded {
                        score: rubric.score(&verdict.word),
                        word: Some(verdict.word),
                        reason: verdict.reason,
                    }),
                )
            })
            .collect()
    }
}

/// The verdict of more than half of the samples; those that could not be read count against it.
fn majority(verdicts: Vec<Option<verdict::Verdict>>) -> Option<verdict::Verdict> {
    let samples = verdicts.len();
    let mut votes: BTreeMap<String, (usize, verdict::Verdict)> = BTreeMap::new();
    for verdict in verdicts.into_iter().flatten() {
        votes.entry(verdict.word.clone()).or_insert((0, verdict)).0 += 1;
    }
    votes
        .into_values()
        .find(|(count, _)| 2 * count > samples)
        .map(|(_, verdict)| verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use std::cell::RefCell;

    /// Says what it is told to, and fails after so many answers.
    struct Told {
        says: fn(&Question) -> String,
        answers: usize,
        asked: RefCell<usize>,
    }

    impl Told {
        fn new(says: fn(&Question) -> String, answers: usize) -> Self {
            Self {
                says,
                answers,
                asked: RefCell::new(0),
            }
        }
    }

    impl Judge for Told {
        fn name(&self) -> &str {
            "told"
        }
        fn identity(&self) -> String {
            "told".into()
        }
        fn estimate(&self, _: &Question) -> Option<f64> {
            None
        }
        fn answer(
            &self,
            questions: &[Question],
            on_answer: &mut super::super::OnAnswer<'_>,
        ) -> Result<()> {
            for (index, question) in questions.iter().enumerate() {
                if *self.asked.borrow() >= self.answers {
                    return Err(Error::outside("enough"));
                }
                *self.asked.borrow_mut() += 1;
                let text = (self.says)(question);
                on_answer(
                    index,
                    Answer {
                        text,
                        ..Answer::default()
                    },
                )?;
            }
            Ok(())
        }
    }

    fn case(question: &str, reply: &str) -> Case {
        Case {
            ask: Ask::Knowledge,
            fields: vec![
                ("question", Field::Text(question.into())),
                ("references", Field::Texts(vec!["yes".into()])),
            ],
            reply: reply.into(),
        }
    }

    fn graded(judge: &Told, samples: u32, cache: &Cache, cases: &[Case]) -> Result<Vec<Graded>> {
        let rubrics = Rubrics::read(None)?;
        let panel = Panel {
            judge,
            rubrics: &rubrics,
            cache,
            samples,
        };
        panel.grade(cases, &Silent)
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c.sqlite")).unwrap();
        (folder, cache)
    }

    fn right(_: &Question) -> String {
        r#"{"verdict":"correct","reason":"it is"}"#.into()
    }

    #[test]
    fn a_verdict_costs_once_and_a_stopped_run_goes_on() {
        let (_folder, cache) = cache();
        let cases = [
            case("a", "x"),
            case("b", "x"),
            case("a", "x"),
            case("a", "y"),
        ];
        let stopped = Told::new(right, 2);
        assert!(graded(&stopped, 1, &cache, &cases).is_err());
        let rest = Told::new(right, 1);
        let graded_all = graded(&rest, 1, &cache, &cases).unwrap();
        assert_eq!(
            *rest.asked.borrow(),
            1,
            "three questions differ, two were answered before"
        );
        assert_eq!(graded_all.len(), 4);
        assert!(
            graded_all
                .iter()
                .all(|one| one.score == Some(1.0) && one.reason == "it is")
        );
        let nothing = Told::new(right, 0);
        assert_eq!(graded(&nothing, 1, &cache, &cases).unwrap(), graded_all);
        // Another sample is another question.
        assert!(graded(&nothing, 2, &cache, &cases).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_unscored() {
        let (_folder, cache) = cache();
        let judge = Told::new(|_| "I would rather not.".into(), 9);
        let graded = graded(&judge, 1, &cache, &[case("a", "x")]).unwrap();
        assert_eq!(graded, [Graded::default()]);
    }

    #[test]
    fn samples_vote() {
        let vote = |words: &[Option<&str>]| {
            let verdicts = words.iter().map(|word| {
                word.map(|word| verdict::Verdict {
                    word: word.to_owned(),
                    reason: String::new(),
                })
            });
            majority(verdicts.collect()).map(|verdict| verdict.word)
        };
        assert_eq!(
            vote(&[Some("a"), Some("b"), Some("a")]).as_deref(),
            Some("a")
        );
        assert_eq!(vote(&[Some("a"), Some("b")]), None);
        assert_eq!(vote(&[Some("a"), None, None]), None);
        assert_eq!(vote(&[Some("a")]).as_deref(), Some("a"));
        assert_eq!(vote(&[None]), None);
    }
}
