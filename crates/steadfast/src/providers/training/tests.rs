//! Both protocols against services that behave, lose answers, are busy, fail, and know other words.

use super::*;
use crate::error::Class;
use crate::providers::connection::Key;
use crate::providers::emulators::http::{Emulator, Reaction, Request};
use crate::providers::emulators::{openai, together};
use crate::providers::record::FILE;
use crate::settings::hosted::{HostedHyperparameters, HostedMethod};
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const SECRET: &str = "sk-not-to-be-seen";
const DATA: &[u8] = b"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}\n";
const FAST: Patience = Patience {
    attempts: 4,
    first: Duration::from_millis(1),
    longest: Duration::from_millis(600),
};

/// Either service, behind one face.
#[derive(Clone)]
enum Desk {
    OpenAi(Arc<openai::OpenAi>),
    Together(Arc<together::Together>),
}

impl Desk {
    fn both() -> [Self; 2] {
        [Self::OpenAi(Arc::default()), Self::Together(Arc::default())]
    }

    fn of_openai(plan: openai::Plan) -> Self {
        Self::OpenAi(Arc::new(openai::OpenAi::new(plan)))
    }

    fn of_together(plan: together::Plan) -> Self {
        Self::Together(Arc::new(together::Together::new(plan)))
    }

    fn react(&self, request: &Request) -> Reaction {
        match self {
            Self::OpenAi(desk) => desk.react(request),
            Self::Together(desk) => desk.react(request),
        }
    }

    fn made(&self) -> Vec<Value> {
        match self {
            Self::OpenAi(desk) => desk.made(),
            Self::Together(desk) => desk.made(),
        }
    }

    fn files(&self) -> Vec<Vec<u8>> {
        match self {
            Self::OpenAi(desk) => desk.files(),
            Self::Together(desk) => desk.files(),
        }
    }

    fn arm(&self) -> HostedArm {
        let (provider, base) = match self {
            Self::OpenAi(_) => (Name::OpenAi, openai::BASE),
            Self::Together(_) => (Name::Together, together::BASE),
        };
        HostedArm {
            name: "there".into(),
            provider,
            base: base.into(),
            hyperparameters: HostedHyperparameters {
                method: HostedMethod::Lora,
                epochs: 2,
                batch_size: None,
                learning_rate_multiplier: None,
                learning_rate: (provider == Name::Together).then_some(1e-4),
                rank: Some(16),
                alpha: Some(32),
                warmup: None,
            },
            suffix: Some("hotel".into()),
            extra: Map::new(),
            base_url: None,
            key_variable: None,
            key_file: None,
            price: Some(1.5),
            max_cost: None,
            concurrency: 2,
            timeout_seconds: 5,
        }
    }

    /// The service in the air; `answer` may stand between it and the client.
    fn open(
        &self,
        answer: impl Fn(usize, &Request, &Desk) -> Reaction + Send + Sync + 'static,
    ) -> Emulator {
        let desk = self.clone();
        Emulator::start(move |number, request| answer(number, request, &desk))
    }

    fn plain(&self) -> Emulator {
        self.open(|_, request, desk| desk.react(request))
    }
}

/// Writes down what it hears.
#[derive(Default)]
struct Ear {
    agrees: bool,
    asked: AtomicUsize,
    heard: Mutex<Vec<Event>>,
}

impl Ear {
    fn agreeing() -> Self {
        Self {
            agrees: true,
            ..Self::default()
        }
    }

    fn all(&self) -> String {
        format!("{:?}", self.heard.lock().unwrap())
    }

    fn words(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let word = |event: &Event| match event {
            Event::JobState { state, .. } => Some(state.clone()),
            _ => None,
        };
        heard.iter().filter_map(word).collect()
    }
}

impl Listener for Ear {
    fn on(&self, event: Event) {
        self.heard.lock().unwrap().push(event);
    }

    fn confirm(&self, question: &str) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.on(Event::Note {
            message: question.to_owned(),
        });
        self.agrees
    }
}

/// One process's work on an arm, from its start to its end.
fn work(arm: &HostedArm, url: &str, folder: &Path, ear: &Ear) -> Result<HostedModel> {
    work_within(Duration::from_secs(10), arm, url, folder, ear)
}

fn work_within(
    timeout: Duration,
    arm: &HostedArm,
    url: &str,
    folder: &Path,
    ear: &Ear,
) -> Result<HostedModel> {
    let connection = Connection::new(arm.provider.name(), url, Key::new(SECRET), timeout)?;
    let provider = provider(arm.provider, connection, FAST)?;
    let order = Order {
        arm,
        name: arm.name.clone(),
        seed: 3,
        data: DATA,
        conversations: 1,
        tokens: 1000,
        tag: "0123456789ab".into(),
    };
    let hosted = Hosted {
        provider: provider.as_ref(),
        order: &order,
        folder,
        pace: FAST,
        listener: ear,
    };
    hosted.follow(hosted.begin()?)
}

#[test]
fn an_arm_is_trained_once_and_found_trained_after_that() {
    for desk in Desk::both() {
        let (folder, ear) = (tempfile::tempdir().unwrap(), Ear::agreeing());
        let service = desk.plain();
        let model = work(&desk.arm(), &service.url, folder.path(), &ear).unwrap();
        assert!(model.name.contains("hotel"), "{model:?}");
        assert_eq!(
            (model.training.tokens, model.training.seconds),
            (4321, 60.0)
        );
        assert!(model.training.steps >= 4);
        let [made] = &desk.made()[..] else {
            panic!("one job was expected")
        };
        assert_eq!(desk.files(), [DATA]);
        match desk {
            Desk::OpenAi(_) => {
                assert_eq!(made["metadata"]["steadfast"], "0123456789ab");
                assert_eq!(
                    made["method"]["supervised"]["hyperparameters"]["n_epochs"],
                    2
                );
                assert_eq!(made["seed"], 3);
                let words = ["validating_files", "queued", "running", "succeeded"];
                assert_eq!(ear.words(), words);
                assert!(
                    ear.all().contains("about 2000 tokens for about $0.0030"),
                    "{}",
                    ear.all()
                );
            }
            Desk::Together(_) => {
                assert_eq!(made["suffix"], "hotel-0123456789ab");
                assert_eq!(made["training_type"]["lora_r"], 16);
                assert_eq!(made["training_method"]["train_on_inputs"], false);
                assert!(ear.all().contains("for about $0.48"), "{}", ear.all());
            }
        }
        assert!(ear.all().contains("HostedStep"));
        let checkpoints = std::fs::read_to_string(folder.path().join("checkpoints.json")).unwrap();
        assert!(checkpoints.contains(&model.name), "{checkpoints}");
        let record = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!record.contains(SECRET) && !ear.all().contains(SECRET));

        let asked = service.requests().len();
        let again = work(&desk.arm(), &service.url, folder.path(), &ear).unwrap();
        assert_eq!(again, model);
        assert_eq!(service.requests().len(), asked, "nothing is asked again");
        // With the folder lost, the job is known at the service.
        let other = tempfile::tempdir().unwrap();
        let found = work(&desk.arm(), &service.url, other.path(), &Ear::default()).unwrap();
        assert_eq!((found.name, desk.made().len()), (model.name, 1));
    }
}

/// A kill at each call, before the service hears it and after it has done it: there is one job.
#[test]
fn a_kill_at_any_step_never_makes_a_second_job() {
    for desk in Desk::both() {
        let counted = desk.plain();
        let folder = tempfile::tempdir().unwrap();
        work(&desk.arm(), &counted.url, folder.path(), &Ear::agreeing()).unwrap();
        let calls = counted.requests().len();
        assert!(calls > 10, "{calls}");
        for (kill, done) in (0..calls).flat_map(|kill| [(kill, false), (kill, true)]) {
            let desk = match &desk {
                Desk::OpenAi(_) => Desk::of_openai(openai::Plan::default()),
                Desk::Together(_) => Desk::of_together(together::Plan::default()),
            };
            let folder = tempfile::tempdir().unwrap();
            let record = folder.path().join(FILE);
            let then = Arc::new(Mutex::new(None));
            let (kept, path) = (then.clone(), record.clone());
            let service = desk.open(move |number, request, desk| {
                if number != kill {
                    return desk.react(request);
                }
                if done {
                    desk.react(request);
                }
                *kept.lock().unwrap() = Some(std::fs::read(&path).ok());
                Reaction::refuses(418, "killed", "the process is gone")
            });
            let arm = desk.arm();
            // Only the list of checkpoints is done without.
            let killed = work(&arm, &service.url, folder.path(), &Ear::agreeing());
            let asked = service.requests();
            let optional = asked
                .get(kill)
                .is_some_and(|one| one.path().contains("checkpoints"));
            assert_eq!(killed.is_ok(), optional, "killed at {kill}");
            // What it wrote after its death it did not write.
            match then.lock().unwrap().take().expect("it was killed") {
                Some(bytes) => std::fs::write(&record, bytes).unwrap(),
                None => {
                    let _ = std::fs::remove_file(&record);
                }
            }
            let model = work(&arm, &service.url, folder.path(), &Ear::agreeing());
            let model = model.unwrap_or_else(|error| panic!("killed at {kill}: {error}"));
            assert_eq!(desk.made().len(), 1, "killed at {kill}, done: {done}");
            assert!(model.name.contains("hotel"));
        }
    }
}

#[test]
fn a_lost_answer_to_the_making_never_pays_twice() {
    for desk in Desk::both() {
        for (done, cut) in [(true, false), (false, false), (true, true)] {
            let desk = match &desk {
                Desk::OpenAi(_) => Desk::of_openai(openai::Plan::default()),
                Desk::Together(_) => Desk::of_together(together::Plan::default()),
            };
            let (lost, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let service = desk.open(move |_, request, desk| {
                let jobs = ["fine_tuning/jobs", "fine-tunes"].contains(&request.path());
                let making = jobs && request.method() == "post";
                let listing = jobs && request.method() == "get";
                // A new job is listed a while after it was made.
                if listing
                    && lost.load(Ordering::SeqCst) > 0
                    && looks.fetch_add(1, Ordering::SeqCst) < 3
                {
                    return Reaction::new(200, r#"{"object":"list","data":[],"has_more":false}"#);
                }
                if !making || lost.fetch_add(1, Ordering::SeqCst) > 0 {
                    return desk.react(request);
                }
                let answer = if done {
                    desk.react(request)
                } else {
                    Reaction::new(200, "")
                };
                if cut {
                    Reaction { cut, ..answer }
                } else {
                    Reaction::new(502, "bad gateway")
                }
            });
            let folder = tempfile::tempdir().unwrap();
            let start = || work(&desk.arm(), &service.url, folder.path(), &Ear::agreeing());
            match start() {
                Ok(_) => assert!(done),
                Err(error) => {
                    // It may still come: only the next start, which looks first, asks again.
                    assert!(!done && error.message.contains("bad gateway"), "{error}");
                    assert_eq!(desk.made().len(), 0);
                    start().unwrap();
                }
            }
            assert_eq!(desk.made().len(), 1, "done: {done}, cut: {cut}");
        }
    }
}

#[test]
fn a_busy_failing_and_stalling_service_is_asked_again() {
    for desk in Desk::both() {
        let service = desk.open(|number, request, desk| match number % 5 {
            1 => Reaction::refuses(429, "rate_limit", "slow down").header("retry-after-ms: 20"),
            2 => Reaction::new(500, "oops"),
            3 if request.method() == "get" => Reaction {
                delay: Duration::from_millis(700),
                ..desk.react(request)
            },
            _ => desk.react(request),
        });
        let folder = tempfile::tempdir().unwrap();
        let (timeout, ear) = (Duration::from_millis(400), Ear::agreeing());
        // Where the making itself failed, the next start looks for the job and asks again.
        let start = || work_within(timeout, &desk.arm(), &service.url, folder.path(), &ear);
        (0..5).find_map(|_| start().ok()).expect("a trained arm");
        assert_eq!(desk.made().len(), 1);
        let gone = desk.open(|_, _, _| Reaction::new(503, "down"));
        let other = tempfile::tempdir().unwrap();
        let error = work(&desk.arm(), &gone.url, other.path(), &ear).unwrap_err();
        assert_eq!(error.class, Class::Outside);
        assert!(
            error.message.contains("failed 4 times") && error.message.contains("down"),
            "{error}"
        );
    }
}

#[test]
fn words_of_tomorrow_are_waited_out_and_casing_is_none_of_ours() {
    let desks = [
        Desk::of_openai(openai::Plan {
            words: vec![
                "queued",
                "pausing",
                "paused",
                "tempering",
                "running",
                "succeeded",
            ],
            page: 1,
            ..openai::Plan::default()
        }),
        Desk::of_together(together::Plan {
            words: vec![
                "Pending",
                "QUEUED",
                "TEMPERING",
                "Running",
                "COMPRESSING",
                "completed",
            ],
            ..together::Plan::default()
        }),
    ];
    for desk in desks {
        let (folder, ear, service) = (tempfile::tempdir().unwrap(), Ear::agreeing(), desk.plain());
        let model = work(&desk.arm(), &service.url, folder.path(), &ear).unwrap();
        assert!(
            ear.all()
                .contains("`tempering`, which this version does not know"),
            "{}",
            ear.all()
        );
        if let Desk::OpenAi(_) = desk {
            assert!(ear.all().contains("is paused"));
            // Every step is heard of, though a page holds one event.
            assert!(model.training.steps >= 5, "{model:?}");
        }
    }
}

#[test]
fn a_failure_is_told_in_the_services_words_and_the_next_start_makes_a_new_job() {
    let why = "The job failed due to an unsafe training file.";
    let desks = [
        Desk::of_openai(openai::Plan {
            words: vec!["running", "failed"],
            failure: why,
            ..openai::Plan::default()
        }),
        Desk::of_together(together::Plan {
            words: vec!["running", "user_error"],
            failure: why,
            ..together::Plan::default()
        }),
    ];
    for desk in desks {
        let (folder, ear, service) = (tempfile::tempdir().unwrap(), Ear::agreeing(), desk.plain());
        for jobs in [1, 2] {
            let error = work(&desk.arm(), &service.url, folder.path(), &ear).unwrap_err();
            assert!(error.message.contains(why), "{error}");
            assert_eq!((error.class, desk.made().len()), (Class::Outside, jobs));
        }
        let mut unknown = desk.arm();
        unknown.base = "gpt-3.5-turbo".into();
        let other = tempfile::tempdir().unwrap();
        let error = work(&unknown, &service.url, other.path(), &ear).unwrap_err();
        assert!(
            error.message.contains("gpt-3.5-turbo") && error.message.contains("400"),
            "{error}"
        );
        assert_eq!(error.class, Class::User);
    }
}

#[test]
fn nothing_is_spent_without_an_agreement() {
    for desk in Desk::both() {
        let (folder, service) = (tempfile::tempdir().unwrap(), desk.plain());
        let work = |arm: &HostedArm, ear: &Ear| work(arm, &service.url, folder.path(), ear);
        let silent = Ear::default();
        let refused = work(&desk.arm(), &silent).unwrap_err();
        assert!(refused.hint.is_some_and(|hint| hint.contains("--yes")));
        assert_eq!(silent.asked.load(Ordering::SeqCst), 1);
        assert!(silent.all().contains("PriceEstimated"));
        let dear = HostedArm {
            max_cost: Some(0.001),
            ..desk.arm()
        };
        assert_eq!(
            work(&dear, &Ear::agreeing()).unwrap_err().class,
            Class::Budget
        );
        if let Desk::OpenAi(_) = desk {
            let nobody_says = HostedArm {
                price: None,
                max_cost: Some(5.0),
                ..desk.arm()
            };
            let error = work(&nobody_says, &Ear::agreeing()).unwrap_err();
            assert_eq!(error.place.field.as_deref(), Some("price"));
        }
        assert_eq!(desk.made(), Vec::<Value>::new(), "nothing was spent so far");
        let capped = HostedArm {
            max_cost: Some(0.5),
            ..desk.arm()
        };
        let silent = Ear::default();
        work(&capped, &silent).unwrap();
        assert_eq!(
            (silent.asked.load(Ordering::SeqCst), desk.made().len()),
            (0, 1)
        );
    }
    let free = Desk::of_openai(openai::Plan::default());
    let arm = HostedArm {
        price: Some(0.0),
        ..free.arm()
    };
    let (folder, service) = (tempfile::tempdir().unwrap(), free.plain());
    work(&arm, &service.url, folder.path(), &Ear::default()).unwrap();
    let broke = Desk::of_together(together::Plan {
        price: Some(500.0),
        ..together::Plan::default()
    });
    let (folder, service) = (tempfile::tempdir().unwrap(), broke.plain());
    let error = work(&broke.arm(), &service.url, folder.path(), &Ear::agreeing()).unwrap_err();
    assert!(
        error.message.contains("$500.00") && error.message.contains("$100.00"),
        "{error}"
    );
}

#[test]
fn a_job_is_cancelled_from_its_folder() {
    let desks = [
        Desk::of_openai(openai::Plan {
            words: vec!["running"],
            ..openai::Plan::default()
        }),
        Desk::of_together(together::Plan {
            words: vec!["running"],
            ..together::Plan::default()
        }),
    ];
    for desk in desks {
        let (folder, ear, service) = (tempfile::tempdir().unwrap(), Ear::agreeing(), desk.plain());
        assert!(cancel(folder.path()).unwrap_err().hint.is_some());
        let outcome = std::thread::scope(|threads| {
            let working = threads.spawn(|| work(&desk.arm(), &service.url, folder.path(), &ear));
            let words = loop {
                match cancel(folder.path()) {
                    Ok(words) => break words,
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            };
            assert_eq!(words.1, "cancelled");
            working.join().unwrap()
        });
        let error = outcome.unwrap_err();
        assert!(error.message.contains("cancelled"), "{error}");
        let again = cancel(folder.path()).unwrap_err();
        assert!(again.message.contains("The job is over."), "{again}");
    }
}

#[test]
fn a_wrong_key_a_wrong_file_and_a_damaged_record_are_told() {
    for desk in Desk::both() {
        let service = desk.open(|_, _, _| {
            let said = format!("Incorrect API key provided: {SECRET}.");
            Reaction::refuses(401, "invalid_api_key", &said)
        });
        let folder = tempfile::tempdir().unwrap();
        let error = work(&desk.arm(), &service.url, folder.path(), &Ear::agreeing()).unwrap_err();
        assert_eq!(error.class, Class::User);
        assert!(
            error.message.contains("Incorrect API key") && !error.message.contains(SECRET),
            "{error}"
        );
        std::fs::write(folder.path().join(FILE), "{\"schema\":").unwrap();
        let error = work(&desk.arm(), &service.url, folder.path(), &Ear::agreeing()).unwrap_err();
        assert!(error.message.contains("damaged") && error.hint.is_some());
    }
    let wrong = Desk::of_together(together::Plan {
        file_words: vec!["PENDING", "INVALID_FORMAT"],
        ..together::Plan::default()
    });
    let (folder, service) = (tempfile::tempdir().unwrap(), wrong.plain());
    let error = work(&wrong.arm(), &service.url, folder.path(), &Ear::agreeing()).unwrap_err();
    assert!(error.message.contains("roles must alternate"), "{error}");
}
