//! `/v1/tokens` and a team's tokens.

use super::answer::{Answer, Piece};
use super::problem::Problem;
use super::{Parts, input};
use crate::authn::Token;
use crate::authn::token::named;
use crate::ids::{TeamId, TokenId};
use crate::keys::Life;
use crate::keys::view::{IssuedView, TokenView, moment};
use crate::store::{NewToken, Store, StoreError, TOKENS_PAGE, TokenRow};
use bytes::Bytes;
use tokio::sync::mpsc;

pub(super) async fn list(parts: &Parts, life: &Life, team: Option<&TeamId>) -> Result<Answer, Problem> {
    let now = parts.clock.unix_seconds();
    let page = life.store().tokens_page(team, None).await?;
    if page.len() < TOKENS_PAGE {
        return Ok(Answer::json(200, &views(&page, now)));
    }
    let (pieces, body) = mpsc::channel(1);
    tokio::spawn(send(life.store().clone(), team.cloned(), (page, now), pieces));
    Ok(Answer::pieces(body))
}

fn views(rows: &[TokenRow], now: u64) -> Vec<TokenView> {
    rows.iter().map(|row| TokenView::at(row, now)).collect()
}

/// Sends all tokens as one array, page by page as they are taken: the store is free in between. What can't be read cuts the
/// answer off.
async fn send(store: Store, team: Option<TeamId>, (mut page, now): (Vec<TokenRow>, u64), pieces: mpsc::Sender<Piece>) {
    let mut mark = b'[';
    while let Some(last) = page.last().cloned() {
        let mut text = Answer::text_of(&views(&page, now));
        // One array out of many: what begins and ends each of them goes.
        text[0] = std::mem::replace(&mut mark, b',');
        text.pop();
        if pieces.send(Ok(text.into())).await.is_err() {
            return;
        }
        page = match store.tokens_page(team.as_ref(), Some(&last)).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "a list of tokens was cut off");
                let _ = pieces.send(Err(error)).await;
                return;
            }
        };
    }
    let _ = pieces.send(Ok(Bytes::from_static(b"]"))).await;
}

pub(super) async fn issue(parts: &Parts, life: &Life, team: &str, body: &[u8]) -> Result<Answer, Problem> {
    let (team, asked) = (input::team(team)?, input::read::<input::NewToken>(body)?);
    parts.must_have_effect(&team)?;
    let expires = asked.expires.map(|text| input::whole_seconds("expires", &text)).transpose()?;
    let expires_at = expires.map(|expires| life.store().now().saturating_add(expires.as_secs()));
    let made = Token::generate();
    let new = NewToken {
        id: made.id(),
        team: team.clone(),
        sha256: made.digest(),
        name: asked.name.clone().unwrap_or_default(),
        expires_at,
    };
    let subject = format!("{} of {team}", made.id());
    // What it refuses is the name that was given.
    let bad_name = |error| match error {
        StoreError::Refused(why) => Problem::invalid(format!("name: {why}")),
        error => error.into(),
    };
    let work = async { life.store().add_tokens(vec![new]).await.map_err(bad_name) };
    parts.recorded("token.issue", &subject, work).await?;
    let issued = IssuedView {
        id: made.id().to_string(),
        team: team.to_string(),
        name: asked.name.filter(|name| !name.is_empty()),
        token: made.show(),
        expires_at: expires_at.map(moment),
    };
    Ok(Answer::json(201, &issued))
}

/// The token that a path names. What is neither an id nor a token is not repeated: it may be half of one.
fn known(text: &str) -> Result<TokenId, Problem> {
    let neither = "no such token: the path ends neither in an id nor in a whole token";
    named(text).ok_or_else(|| Problem::new(404, "unknown", neither))
}

pub(super) async fn show(parts: &Parts, life: &Life, id: &str) -> Result<Answer, Problem> {
    let row = life.store().token(&known(id)?).await?;
    Ok(Answer::json(200, &TokenView::at(&row, parts.clock.unix_seconds())))
}

pub(super) async fn revoke(parts: &Parts, life: &Life, id: &str) -> Result<Answer, Problem> {
    let id = known(id)?;
    let row = parts.recorded("token.revoke", id.as_str(), life.store().revoke_token(&id)).await?;
    Ok(Answer::json(200, &TokenView::at(&row, parts.clock.unix_seconds())))
}
