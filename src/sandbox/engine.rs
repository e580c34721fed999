//! The one engine behind every table: create, fetch, list, update, delete.

use super::address::{Asked, Product};
use super::answer::Answer;
use super::auth::Actor;
use super::paging::{List, Window, bad_token};
use super::permission::Action;
use super::refusal::Refusal;
use super::resource::{Draft, Resource, Row};
use super::resources::Target;
use super::shelf::Shelf;
use super::sid::{self, Sid};
use super::state::{ShelfId, State};
use super::view::View;
use super::wanted::Wanted;
use crate::twilio::render::{self, Format};
use http::Method;

/// A request that has been let in, and what it works on.
#[derive(Debug)]
pub struct Call<'a> {
    /// Everything.
    pub state: &'a mut State,
    /// The request.
    pub asked: &'a Asked,
    /// Who asks.
    pub actor: &'a Actor,
    /// The account that is acted on.
    pub account: Sid,
    /// Unix seconds.
    pub now: i64,
}

/// What is to be done, from the method and whether the path names one.
pub fn action(method: &Method, one: bool) -> Result<Action, Refusal> {
    match (method.as_str(), one) {
        ("GET", false) => Ok(Action::List),
        ("GET", true) => Ok(Action::Read),
        ("POST", false) => Ok(Action::Create),
        ("POST", true) => Ok(Action::Update),
        ("DELETE", true) => Ok(Action::Delete),
        _ => Err(Refusal::method_not_allowed()),
    }
}

impl Call<'_> {
    /// "… was not found", for the path that was asked for.
    pub fn not_found(&self) -> Refusal {
        Refusal::not_found(self.asked.echo())
    }

    /// Does it.
    pub fn run(&mut self, target: &Target<'_>) -> Result<Answer, Refusal> {
        let resource = target.resource;
        let view = resource.views.iter().find(|(segment, ..)| Some(*segment) == target.item);
        let item = target.item.filter(|_| view.is_none());
        let action = action(&self.asked.method, item.is_some())?;
        let verbs = resource.verbs;
        let allowed = match action {
            Action::Read | Action::List => true,
            Action::Create => verbs.create,
            Action::Update => verbs.update,
            Action::Delete => verbs.delete,
        };
        if !allowed {
            return Err(Refusal::method_not_allowed());
        }
        self.actor.act(resource.permission, action)?;
        let shelf = ShelfId { resource: resource.id, account: self.account, parent: self.parent(target)? };
        let Some(item) = item else {
            return match action {
                Action::Create => self.create(resource, shelf),
                _ => self.list(resource, shelf, view.map(|(_, field, value)| (*field, *value))),
            };
        };
        let sid = self.find(resource, shelf, item).ok_or_else(|| self.not_found())?;
        match action {
            Action::Update => self.update(resource, shelf, sid),
            Action::Delete => {
                self.state.shelf_mut(shelf).remove(&sid);
                self.state.drop_below(resource, self.account, sid);
                Ok(Answer::empty())
            }
            _ => self.fetch(resource, shelf, sid),
        }
    }

    fn parent(&self, target: &Target<'_>) -> Result<Option<Sid>, Refusal> {
        let Some((resource, text)) = target.resource.parent.zip(target.parent) else { return Ok(None) };
        let shelf = ShelfId { resource: resource.id, account: self.account, parent: None };
        self.find(resource, shelf, text).map(Some).ok_or_else(|| self.not_found())
    }

    /// A row by its name or its alias.
    fn find(&self, resource: &Resource, shelf: ShelfId, text: &str) -> Option<Sid> {
        let shelf = self.state.shelf(&shelf)?;
        if let Some(sid) = resource.sid(text)
            && shelf.get(&sid).is_some()
        {
            return Some(sid);
        }
        with_alias(resource, shelf, text)
    }

    fn create(&mut self, resource: &'static Resource, shelf: ShelfId) -> Result<Answer, Refusal> {
        let (params, now) = (&self.asked.params, self.now);
        let (cells, children) = (resource.blank(), Vec::new());
        let mut draft = Draft { resource, params, now, prefix: resource.prefix, cells, children };
        if let Some(missing) = resource.required.iter().find(|param| draft.given(param).is_none()) {
            return Err(Refusal::missing(missing));
        }
        draft.take_given()?;
        (resource.rules.create)(&mut draft)?;
        self.check_reference(&draft)?;
        self.check_alias(&draft, shelf, None)?;
        let row = Row { sid: Sid::fresh(draft.prefix), created: now, updated: now, cells: draft.cells.clone() };
        let answer = self.instance(201, resource, shelf, &row);
        (resource.rules.settle)(&mut draft);
        for (child, cells) in draft.children {
            let below = ShelfId { resource: child.id, account: self.account, parent: Some(row.sid) };
            self.put(child, below, Row { sid: Sid::fresh(child.prefix), created: now, updated: now, cells });
        }
        self.put(resource, shelf, Row { cells: draft.cells, ..row });
        Ok(answer)
    }

    /// Puts a row in without asking anybody: seeds, and rows that come with others.
    pub fn put(&mut self, resource: &'static Resource, shelf: ShelfId, row: Row) {
        let place = self.state.next_place();
        if let Some((evicted, _)) = self.state.shelf_mut(shelf).insert(place, row.sid, row) {
            self.state.drop_below(resource, self.account, evicted);
        }
    }

    fn fetch(&self, resource: &'static Resource, shelf: ShelfId, sid: Sid) -> Result<Answer, Refusal> {
        let row = self.state.shelf(&shelf).and_then(|rows| rows.get(&sid)).ok_or_else(|| self.not_found())?;
        let answer = self.instance(200, resource, shelf, row);
        if resource.id == "api/Media" && !self.asked.suffixed {
            // Without a suffix Twilio sends the file itself: a redirect to where it is kept, signed for some hours.
            let query = format!("x-amz-expires=14400&x-amz-signature={}{}", sid::hex32(), sid::hex32());
            let location = format!("https://media.twiliocdn.com/{}/{}?{query}", self.account, sid::hex32());
            return Ok(Answer { status: 307, location: Some(location), ..answer });
        }
        Ok(answer)
    }

    fn update(&mut self, resource: &'static Resource, shelf: ShelfId, sid: Sid) -> Result<Answer, Refusal> {
        let row = self.state.shelf(&shelf).and_then(|rows| rows.get(&sid)).ok_or_else(|| self.not_found())?.clone();
        let (params, now, cells) = (&self.asked.params, self.now, row.cells);
        let mut draft = Draft { resource, params, now, prefix: resource.prefix, cells, children: Vec::new() };
        draft.take_given()?;
        (resource.rules.update)(&mut draft)?;
        self.check_reference(&draft)?;
        self.check_alias(&draft, shelf, Some(sid))?;
        let row = Row { sid, created: row.created, updated: now, cells: draft.cells };
        let answer = self.instance(200, resource, shelf, &row);
        if let Some(kept) = self.state.shelf_mut(shelf).get_mut(&sid) {
            *kept = row;
        }
        Ok(answer)
    }

    fn check_reference(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        let Some(reference) = &draft.resource.rules.refers else { return Ok(()) };
        let Some(name) = draft.params.get(reference.param) else { return Ok(()) };
        let shelf = ShelfId { resource: reference.to.id, account: self.account, parent: None };
        let found = self.find(reference.to, shelf, name).map(|_| ());
        found.ok_or_else(|| Refusal::bad(reference.missing, reference.message))
    }

    fn check_alias(&self, draft: &Draft<'_>, shelf: ShelfId, own: Option<Sid>) -> Result<(), Refusal> {
        let Some(alias) = &draft.resource.alias else { return Ok(()) };
        let (Some(name), Some(shelf)) = (draft.peek(alias.field), self.state.shelf(&shelf)) else { return Ok(()) };
        match with_alias(draft.resource, shelf, name) {
            Some(other) if Some(other) != own => Err(Refusal::new(409, alias.taken, alias.message)),
            _ => Ok(()),
        }
    }

    fn list(
        &mut self,
        resource: &'static Resource,
        id: ShelfId,
        view: Option<(&'static str, &'static str)>,
    ) -> Result<Answer, Refusal> {
        let window = Window::read(&self.asked.query)?;
        let wanted = Wanted::read(resource, self.asked, view)?;
        let shelf = self.state.shelf_mut(id);
        let (rows, more) = shelf.page(window.cursor, window.size, |row| wanted.keeps(row)).ok_or_else(bad_token)?;
        let ends = rows.first().zip(rows.last()).map(|(first, last)| (first.0, last.0));
        let base = base(resource, id);
        let suffix = self.asked.link_suffix();
        let views: Vec<_> = rows.iter().map(|(_, row)| View { resource, id, row, base: &base, suffix }).collect();
        let columns = resource.fields.iter().map(|field| field.name).collect();
        let (asked, key, tags) = (self.asked, resource.key, resource.tags);
        let answer = List { asked, window, key, tags, columns, ends, more }.answer(&views);
        if let Some((first, last)) = ends.filter(|_| more || window.page > 0) {
            shelf.issue_token(first);
            shelf.issue_token(last);
        }
        Ok(answer)
    }

    fn instance(&self, status: u16, resource: &'static Resource, id: ShelfId, row: &Row) -> Answer {
        let view = View { resource, id, row, base: &base(resource, id), suffix: self.asked.link_suffix() };
        if self.asked.format == Format::Json {
            return Answer::new(status, self.asked.format, render::json(&view));
        }
        let fields = serde_json::to_value(view).unwrap_or_default();
        Answer::instance(status, self.asked.format, resource.tags.1, &fields)
    }
}

fn with_alias(resource: &Resource, shelf: &Shelf<Row>, name: &str) -> Option<Sid> {
    let slot = resource.slot(resource.alias.as_ref()?.field)?;
    shelf.newest_first().find(|row| row.cells[slot].as_text() == Some(name)).map(|row| row.sid)
}

/// The collection's address, without a suffix.
fn base(resource: &Resource, id: ShelfId) -> String {
    let mut base = match resource.product {
        Product::Api | Product::Unknown => format!("/{}/Accounts/{}", resource.version, id.account),
        product => format!("https://{}/{}", product.host(), resource.version),
    };
    for part in resource.path {
        base.push('/');
        base.push_str(if *part == "*" { id.parent.as_ref().map_or("", Sid::as_str) } else { part });
    }
    base
}
