//! Where messages may not go: only to public addresses, and only encrypted, but for the hosts that
//! the operator allows.
//!
//! Who may set a notifier's address could otherwise have the cluster ask its own services, or its
//! cloud's for credentials. Names are resolved once, what may not be reached is taken out, and the
//! connection goes to what is left: nobody is asked a second time, who could then answer otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// An address that messages may go to, as far as it says itself.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    /// Whether the operator allows its host, whatever it is.
    pub(super) is_open: bool,
}

/// Why messages may not go there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Forbidden {
    #[error("its address is no URL")]
    Unread,
    #[error(
        "its address must begin with https://, or its host must be one of NOTIFY_ALLOWED_HOSTS"
    )]
    Scheme,
    #[error("its address has a user or a password in it, which none of a notifier may have")]
    User,
    #[error(
        "its host has no public address: if it may be told all the same, it must be one of \
         NOTIFY_ALLOWED_HOSTS"
    )]
    Private,
}

/// What knows the addresses of names.
#[derive(Clone, Debug)]
pub(super) enum Names {
    System,
    /// The same for every name.
    #[cfg(test)]
    All(Vec<IpAddr>),
}

/// Finds the public addresses of names.
pub(super) struct Guard(pub(super) Names);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.0.clone();
        Box::pin(async move {
            let all: Vec<SocketAddr> = match names {
                Names::System => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
                #[cfg(test)]
                Names::All(all) => all.into_iter().map(|address| (address, 0).into()).collect(),
            };
            let mut public = all.into_iter().filter(|address| is_public(address.ip())).peekable();
            if public.peek().is_none() {
                return Err(Forbidden::Private.into());
            }
            let public: Addrs = Box::new(public);
            Ok(public)
        })
    }
}

/// Reads an address, and judges what can be without asking for its name.
pub(super) fn target(url: &str, allowed: &[String]) -> Result<Target, Forbidden> {
    let url = Url::parse(url.trim()).map_err(|_quoting| Forbidden::Unread)?;
    let host = url.host().ok_or(Forbidden::Unread)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::User);
    }
    let is_open = allowed.iter().any(|allowed| is_named(&url, allowed));
    match url.scheme() {
        "https" => {}
        "http" if is_open => {}
        _ => return Err(Forbidden::Scheme),
    }
    let is_public = match host {
        Host::Domain(_) => true,
        Host::Ipv4(address) => is_public(address.into()),
        Host::Ipv6(address) => is_public(address.into()),
    };
    if !is_public && !is_open {
        return Err(Forbidden::Private);
    }
    Ok(Target { url, is_open })
}

/// Whether this host is that of an address, with the address's port or without one.
fn is_named(url: &Url, allowed: &str) -> bool {
    let allowed = allowed.trim();
    // An address of IPv6 that stands alone has colons, too, and no port.
    let bare = allowed.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
    let read = Url::parse(&format!("{}://{}", url.scheme(), bare.as_deref().unwrap_or(allowed)));
    let Ok(named) = read else { return false };
    let host = |url: &Url| url.host_str().map(|host| host.trim_end_matches('.').to_owned());
    let has_port = bare.is_err()
        && allowed.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let same_port = !has_port || named.port_or_known_default() == url.port_or_known_default();
    named.path() == "/" && host(&named).is_some() && host(&named) == host(url) && same_port
}

/// Whether an address is one of the internet's.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// IANA's registry of special addresses, and Azure's own.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !matches!(
        (a, b, c, d),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, ..)
            | (169, 254, ..)
            | (172, 16..=31, ..)
            | (192, 0, 0 | 2, _)
            | (192, 88, 99, _)
            | (192, 168, ..)
            | (198, 18 | 19, ..)
            | (198, 51, 100, _)
            | (203, 0, 113, _)
            | (168, 63, 129, 16)
    )
}

/// Global unicast, without what is for documentation, tunnels and protocols. What a network maps to
/// IPv4 (NAT64) is what it is mapped to; other ways to write an address of IPv4 are none of DNS's.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    if [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [g, h] = [g.to_be_bytes(), h.to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(g[0], g[1], h[0], h[1]));
    }
    let is_special = matches!(
        (a, b),
        (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff) | (0x5f00, _)
    );
    (0x2000..=0x3fff).contains(&a) && !is_special
}
