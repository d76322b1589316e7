//! What every face shows: [`Conference`], a fold of the events that `--json` prints, and its plan as text, Graphviz or
//! picture. The lines, the screen and the page are functions of this; nothing here knows how a tree is planned or a packet
//! relayed.

mod conference;
mod sentence;
mod tree;

pub use self::conference::{Conference, PoolView, SessionView};
pub use self::sentence::sentence;
pub use self::tree::TreeFormat;
