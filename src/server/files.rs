//! File descriptors: whoever opens connections, proven or not, must leave some for everything else.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Connections that are being turned away at once on a core: beyond that they are closed without a word.
const TURNED_AWAY: usize = 256;

/// Connections that one core takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// That are served.
    pub open: usize,
    /// That are being turned away.
    pub turned: usize,
}

/// Asks the system for as many descriptors as the process may have; many systems give few until they are asked. A broker
/// tells if they are too few for so many connections.
pub fn raise(max_connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // One that refuses leaves it as it was.
    let _ = setrlimit(Resource::Nofile, limit);
    let (limit, open) = (descriptors(), most(descriptors()));
    if open < max_connections {
        tracing::info!(
            limit,
            open,
            max_connections,
            "fewer connections than limits.max_connections: raise LimitNOFILE"
        );
    }
}

/// What one of `cores` takes.
pub fn ceiling(max_connections: usize, cores: usize) -> Ceiling {
    let limit = descriptors();
    Ceiling {
        open: max_connections.min(most(limit)).div_ceil(cores),
        turned: TURNED_AWAY.min((limit / 16).div_ceil(cores)),
    }
}

/// Most connections of callers: a quarter of the descriptors is left for connections upstream, the admin API and files.
const fn most(limit: usize) -> usize {
    limit - limit / 4
}

fn descriptors() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_given_where_there_is_enough() {
        assert_eq!(most(1024), 768);
        assert_eq!(ceiling(6, 2).open, 3);
        assert!(ceiling(usize::MAX, 1).open <= most(descriptors()));
    }
}
