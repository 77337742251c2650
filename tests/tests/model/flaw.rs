//! Mistakes that the model can be given, to see that it finds them.

/// One mistake, or none. `runs.rs` asserts for each that the search finds what it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Flaw {
    /// The protocol as it is.
    None,
    /// The Console commits that the token is used, and issues the certificate in a transaction of its own.
    SpendsBeforeIssuing,
    /// The Console spends a token on an attempt that it refuses.
    RefusalSpends,
    /// The Console answers a used token with `enrollment_token_used` whatever the key.
    NoRepeat,
    /// The Console takes any key for the one that the token was used for.
    AnyKeyRepeats,
    /// A superseded certificate dies when its successor is issued.
    OldDiesAtOnce,
    /// The agent draws a new key for every attempt.
    NewKeyEachTime,
    /// The agent sends before key and request are on the disk.
    SendsBeforeSaving,
    /// The agent makes a successor current before the Console has accepted it.
    PublishesUnproven,
    /// The agent goes on with a key that came with a copied disk.
    TakesCopiedKey,
    /// The agent removes the request under way, key and all, before it puts the renewed request in its place.
    RemovesBeforeReplacing,
    /// The agent takes a refusal for the last word.
    BelievesForEver,
    /// The agent deletes a token's file as soon as the token was sent.
    DeletesTokenEarly,
}
