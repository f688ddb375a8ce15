// Deadlines in order: an intrusive pairing heap. push O(1), erase and pop O(log n) amortised, no allocation.
// Context: the owner's lock.
#pragma once

#include "lib/assert.hpp"
#include "lib/time.hpp"

namespace ringlet::kernel {

struct DeadlineNode {
    Instant when;
    DeadlineNode* child = nullptr;  ///< first child
    DeadlineNode* next = nullptr;   ///< next sibling
    DeadlineNode* prev = nullptr;   ///< previous sibling, or the parent of a first child
    bool queued = false;
};

class DeadlineHeap {
public:
    bool empty() const { return root_ == nullptr; }
    Instant earliest() const { return root_ != nullptr ? root_->when : Instant::never(); }
    DeadlineNode* first() const { return root_; }

    void push(DeadlineNode& node) {
        ASSERT(!node.queued);
        node.child = node.next = node.prev = nullptr;
        node.queued = true;
        root_ = meld(root_, &node);
    }
    void erase(DeadlineNode& node) {
        ASSERT(node.queued);
        DeadlineNode* const orphans = node.child == nullptr ? nullptr : merge_siblings(node.child);
        if (&node == root_) {
            root_ = orphans;
        } else {
            (node.prev->child == &node ? node.prev->child : node.prev->next) = node.next;
            if (node.next != nullptr) node.next->prev = node.prev;
            root_ = meld(root_, orphans);
        }
        node.child = node.next = node.prev = nullptr;
        node.queued = false;
    }

private:
    /// Both are roots (no siblings, no parent).
    static DeadlineNode* meld(DeadlineNode* a, DeadlineNode* b) {
        if (a == nullptr) return b;
        if (b == nullptr) return a;
        if (b->when < a->when) {
            DeadlineNode* t = a;
            a = b;
            b = t;
        }
        b->next = a->child;
        b->prev = a;
        if (a->child != nullptr) a->child->prev = b;
        a->child = b;
        return a;
    }
    /// Pairs siblings left to right, then melds the pairs right to left: two passes, no recursion.
    static DeadlineNode* merge_siblings(DeadlineNode* first) {
        DeadlineNode* pairs = nullptr;  // linked through `next`, last pair first
        while (first != nullptr) {
            DeadlineNode* second = first->next;
            DeadlineNode* rest = second != nullptr ? second->next : nullptr;
            first->next = first->prev = nullptr;
            if (second != nullptr) second->next = second->prev = nullptr;
            DeadlineNode* pair = meld(first, second);
            pair->next = pairs;
            pairs = pair;
            first = rest;
        }
        DeadlineNode* result = nullptr;
        while (pairs != nullptr) {
            DeadlineNode* rest = pairs->next;
            pairs->next = nullptr;
            result = meld(result, pairs);
            pairs = rest;
        }
        return result;
    }

    DeadlineNode* root_ = nullptr;
};

}  // namespace ringlet::kernel
