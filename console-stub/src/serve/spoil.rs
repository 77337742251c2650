//! Carries out what [`crate::fault::chaos`] has in store for an answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Collected};
use hyper::body::Frame;

use crate::fault::Cut;

/// An answer with this status, and nothing that an agent could take for ours.
pub(super) fn status(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let mut response = Response::new(Body::from("chaos"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a captive portal answers.
pub(super) fn html() -> Response<Body> {
    let mut response = Response::new(Body::from("<!doctype html><title>Sign in to the network</title>"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// The same answer, whose body breaks off half-way.
pub(super) async fn truncated(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    Response::from_parts(parts, Body::new(Half(Some(whole.slice(..whole.len() / 2)))))
}

/// Some bytes, and then a failure that closes the connection.
struct Half(Option<Bytes>);

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or(Cut)))
    }
}
