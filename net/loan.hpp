// Memory that an application lends to the network: bytes that are sent from where they are, without a copy. They must
// not change, nor go away, until the loan is over: TCP sends them again when they are lost, and a device may still be
// reading what a peer has acknowledged.
// Context: hold() and drop() any; whoever drops last calls `over`.
#pragma once

#include <atomic>

#include "lib/assert.hpp"
#include "lib/types.hpp"

namespace ringlet::net {

/// Counts who still needs the memory: its owner, from the beginning, and each piece that the network keeps. One loan
/// may be lent in any number of pieces, over any number of connections. Memory that lives for ever needs none.
class Loan {
public:
    /// Called once, when nobody needs the memory any more; it may destroy the loan. From the network it is called under
    /// the network's monitor (Rank::net), else from the owner's drop(): it may take locks of lower ranks and wake
    /// threads, but must neither wait nor call the network.
    using Over = void (*)(Loan& loan);
    static constexpr usize kMostBytes = usize{1} << 28;  ///< of one piece

    explicit constexpr Loan(Over over) : over_(over) {}
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    void hold() { holders_.fetch_add(1, std::memory_order_relaxed); }
    /// The owner's, once, when he lends no more of it; he may still hold it if he has called hold().
    void drop() {
        const u32 before = holders_.fetch_sub(1, std::memory_order_acq_rel);
        ASSERT(before != 0);
        if (before == 1) over_(*this);
    }

private:
    const Over over_;
    std::atomic<u32> holders_{1};
};

}  // namespace ringlet::net
