//! Receivers: each proves a sender's delivery, translates it into an event and makes a build of it.

pub(crate) mod azuredevops;
pub(crate) mod bitbucket;
pub(crate) mod cloudevents;
pub(crate) mod generic;
pub(crate) mod gitea;
pub(crate) mod github;
pub(crate) mod gitlab;
pub(crate) mod registry;
pub(crate) mod slack;
