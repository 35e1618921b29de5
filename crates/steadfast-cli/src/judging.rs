//! The flags that name a judge, wherever one may be named.

use clap::Args;
use std::path::PathBuf;
use steadfast::settings::JudgeFlags;

/// The flags of a judge.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "A judge")]
pub struct Arguments {
    /// Who grades replies: openai:MODEL, a folder, a GGUF file or a Hub id
    #[arg(long, value_name = "SPEC")]
    judge: Option<String>,
    /// Most US dollars that the judge may cost in this run
    #[arg(long, value_name = "DOLLARS", requires = "judge")]
    max_cost: Option<f64>,
    /// Dollars for a million tokens in and out [default: a table of OpenAI's]
    #[arg(long, value_name = "IN,OUT", requires = "judge")]
    judge_price: Option<String>,
    /// Answers to each question, of which most decide [default: 1]
    #[arg(long, value_name = "N", requires = "judge")]
    judge_samples: Option<u32>,
    /// Questions under way together [default: 8]
    #[arg(long, value_name = "N", requires = "judge")]
    judge_concurrency: Option<usize>,
    /// The server, up to /v1 [default: OPENAI_BASE_URL, else OpenAI's]
    #[arg(long, value_name = "URL", requires = "judge")]
    judge_url: Option<String>,
    /// The environment variable that holds the key [default: OPENAI_API_KEY]
    #[arg(long, value_name = "NAME", requires = "judge")]
    judge_key_variable: Option<String>,
    /// A folder with rubrics of your own
    #[arg(long, value_name = "DIR", requires = "judge")]
    rubrics: Option<PathBuf>,
}

impl Arguments {
    /// As the library takes them.
    pub fn flags(self) -> JudgeFlags {
        JudgeFlags {
            judge: self.judge,
            url: self.judge_url,
            key_variable: self.judge_key_variable,
            price: self.judge_price,
            samples: self.judge_samples,
            concurrency: self.judge_concurrency,
            max_cost: self.max_cost,
            rubrics: self.rubrics,
        }
    }
}
