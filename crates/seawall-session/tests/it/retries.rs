//! What a request asked for and the store did not take: it is tried again, or no response leaves.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, header::COOKIE};
use seawall_session::{Session, SessionError, SessionHandle, SessionLayer, SessionManager};
use seawall_store::SessionStore;
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    checklist::request,
    support::{Browser, Watched, clock, two_nodes},
};

const HURRY: Duration = Duration::from_millis(200);

/// Two nodes, and a client with a session that the first one made.
async fn start() -> (Arc<Watched>, [SessionManager; 2], Browser) {
    let store = Watched::new();
    let nodes = two_nodes(&store, &clock());
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    (store, nodes, browser)
}

async fn text(node: &SessionManager, browser: &Browser) -> Option<String> {
    let look = |session: Session| async move { session.get("text").unwrap() };
    request(node, browser, look).await.1
}

#[tokio::test(start_paused = true)]
async fn p1_a_save_that_failed_is_made_up_for_by_the_next_one() {
    let (store, [one, two], browser) = start().await;
    let insist = {
        let store = store.clone();
        move |session: Session| {
            let store = store.clone();
            async move {
                session.set("text", "new").unwrap();
                store.take_away(true);
                let failed = session.save().await;
                store.take_away(false);
                (failed.is_err(), session.save().await.is_ok())
            }
        }
    };
    let (status, saved) = request(&one, &browser, insist).await;
    assert_eq!((status, saved), (StatusCode::OK, (true, true)));
    assert_eq!(text(&two, &browser).await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn p1_no_response_leaves_after_a_commit_that_failed() {
    let (store, [one, two], browser) = start().await;
    let swallow = {
        let store = store.clone();
        move |session: Session| {
            let store = store.clone();
            async move {
                session.set("text", "new").unwrap();
                store.take_away(true);
                let counted = session.update("count", |_: Option<i64>| 7).await;
                store.take_away(false);
                counted.is_err()
            }
        }
    };
    let (status, failed) = request(&one, &browser, swallow).await;
    assert_eq!((status, failed), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(text(&two, &browser).await, None);
    assert_eq!(browser.read(&two).await.unwrap(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn p1_a_save_that_was_cut_short_is_made_up_for_before_the_response() {
    let (store, [one, two], browser) = start().await;
    let hurry = {
        let store = store.clone();
        move |session: Session| {
            let store = store.clone();
            async move {
                session.set("text", "new").unwrap();
                store.take_away(true);
                let cut_short = timeout(HURRY, session.save()).await.is_err();
                store.take_away(false);
                cut_short
            }
        }
    };
    let (status, cut_short) = request(&one, &browser, hurry).await;
    assert_eq!((status, cut_short), (StatusCode::OK, true));
    assert_eq!(text(&two, &browser).await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn p4_an_invalidation_that_failed_or_was_cut_short_is_not_taken_for_done() {
    for (is_cut_short, insists) in [(false, true), (true, true), (true, false)] {
        let (store, [one, two], browser) = start().await;
        let thief = Browser::with_cookie(browser.cookie());
        let end = {
            let store = store.clone();
            move |session: Session| {
                let store = store.clone();
                async move {
                    store.take_away(true);
                    let patience = if is_cut_short { HURRY } else { HURRY * 1_000 };
                    let ended = timeout(patience, session.invalidate()).await;
                    assert!(!matches!(ended, Ok(Ok(()))));
                    store.take_away(false);
                    if insists {
                        session.invalidate().await.unwrap();
                    }
                }
            }
        };
        let (status, ()) = request(&one, &browser, end).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(browser.cookie(), None);
        assert_eq!(thief.read(&two).await.unwrap(), None);
        assert_eq!(store.count().await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn p4_no_response_leaves_after_an_invalidation_that_failed() {
    let (store, [one, two], browser) = start().await;
    let swallow = {
        let store = store.clone();
        move |session: Session| {
            let store = store.clone();
            async move {
                store.take_away(true);
                session.invalidate().await.unwrap_err();
                // What comes after it has to wait for it.
                session.set("text", "new").unwrap();
                session.save().await.unwrap_err();
                store.take_away(false);
            }
        }
    };
    let (status, ()) = request(&one, &browser, swallow).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(browser.read(&two).await.unwrap(), Some(1));
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn p8_nobody_is_logged_in_under_the_old_id() {
    let (store, [one, two], browser) = start().await;
    let attacker = Browser::with_cookie(browser.cookie());
    let log_in = {
        let store = store.clone();
        move |session: Session| {
            let store = store.clone();
            async move {
                store.take_away(true);
                session.log_in("user:42").await.unwrap_err();
                store.take_away(false);
            }
        }
    };
    let principal = |session: Session| async move { session.principal() };
    let (status, ()) = request(&one, &browser, log_in).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(request(&two, &attacker, principal).await.1, None);

    let again = |session: Session| async move { session.log_in("user:42").await };
    request(&one, &browser, again).await.1.unwrap();
    let known = request(&two, &browser, principal).await.1;
    assert_eq!(known.as_deref(), Some("user:42"));
    assert_eq!(browser.read(&two).await.unwrap(), Some(1));
    assert_eq!(attacker.read(&two).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn p8_a_new_id_whose_answer_was_lost_is_found() {
    let (store, [one, two], browser) = start().await;
    let rotate = {
        let store = store.clone();
        move |session: Session| {
            let store = store.clone();
            async move {
                session.set("text", "new").unwrap();
                store.open_gate(false);
                timeout(HURRY, session.rotate_id()).await.unwrap_err();
                store.open_gate(true);
                session.rotate_id().await
            }
        }
    };
    let old = Browser::with_cookie(browser.cookie());
    let (status, rotated) = request(&one, &browser, rotate).await;
    rotated.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(text(&two, &browser).await.as_deref(), Some("new"));
    assert_eq!(browser.read(&two).await.unwrap(), Some(1));
    assert_eq!(old.read(&two).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn p2_clones_that_begin_a_session_together_begin_one() {
    let store = Watched::new();
    let [one, two] = two_nodes(&store, &clock());
    let browser = Browser::default();
    let both = |session: Session| async move {
        let clone = session.clone();
        let add = |count: Option<i64>| count.unwrap_or(0) + 1;
        let (first, second) =
            tokio::join!(session.update("count", add), clone.update("count", add));
        session.set("text", "new").unwrap();
        (
            first.unwrap(),
            second.unwrap(),
            session.get::<i64>("count").unwrap(),
        )
    };
    let (_, (first, second, seen)) = request(&one, &browser, both).await;
    assert_eq!(
        (first.min(second), first.max(second), seen),
        (1, 2, Some(2))
    );
    assert_eq!(browser.read(&two).await.unwrap(), Some(2));
    assert_eq!(text(&two, &browser).await.as_deref(), Some("new"));
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_says_itself_that_it_failed_keeps_its_words() {
    let (store, [one, _], browser) = start().await;
    let away = store.clone();
    let apologize = service_fn(move |request: Request<()>| {
        let store = away.clone();
        async move {
            let handle = request.extensions().get::<SessionHandle>().unwrap();
            let session = handle.session().await?;
            session.set("text", "new")?;
            store.take_away(true);
            session.save().await.unwrap_err();
            let mut response = Response::new("Sorry.");
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok::<_, SessionError>(response)
        }
    });
    let layer = SessionLayer::new(one.clone());
    let cookie = HeaderValue::from_str(&browser.cookie().unwrap()).unwrap();
    let request = Request::get("/").header(COOKIE, cookie).body(()).unwrap();
    let response = layer.layer(apologize).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.into_body(), "Sorry.");
}
