//! The page at `/`: one question to two models side by side, and jobs with their loss as it falls.
//!
//! It is three fixed texts and knows nothing: all it shows it asks of the API, with the key that its
//! reader gives it. The policy lets it load nothing from elsewhere and run nothing that is not here.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Paths that anyone may ask for: what they answer is the same for all.
pub const OPEN: [&str; 3] = ["/", "/page.css", "/page.js"];

fn text(kind: &'static str, content: &'static str) -> Response {
    let headers: [(HeaderName, &'static str); 3] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content).into_response()
}

/// `/`
pub async fn page() -> Response {
    text("text/html; charset=utf-8", include_str!("page/page.html"))
}

/// `/page.css`
pub async fn style() -> Response {
    text("text/css; charset=utf-8", include_str!("page/page.css"))
}

/// `/page.js`
pub async fn script() -> Response {
    text(
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    )
}
