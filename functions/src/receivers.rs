//! Receivers: each proves a sender's delivery, translates it into an event and makes a build of it.

pub(crate) mod azuredevops;
pub(crate) mod bitbucket;
pub(crate) mod cloudevents;
pub(crate) mod cron;
pub(crate) mod eventgrid;
pub(crate) mod generic;
pub(crate) mod gitea;
pub(crate) mod github;
pub(crate) mod gitlab;
pub(crate) mod hook;
pub(crate) mod kubernetes;
pub(crate) mod registry;
pub(crate) mod slack;
