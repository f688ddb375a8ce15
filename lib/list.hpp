// Intrusive doubly linked list: no allocation, O(1) insertion and removal from the middle.
// The list does not own its elements; an element is in at most one list per hook. Context: the owner's lock.
#pragma once

#include <type_traits>

#include "lib/assert.hpp"

namespace ringlet {

/// Derive from it (with a distinct Tag for each list an object may be in at once).
template <class Tag = void> struct ListNode {
    ListNode* prev = nullptr;
    ListNode* next = nullptr;
    bool linked() const { return next != nullptr; }
    constexpr ListNode() = default;
    ListNode(const ListNode&) = delete;
    ListNode& operator=(const ListNode&) = delete;
};

template <class T, class Tag = void> class List {
    using Node = ListNode<Tag>;
    Node head_;
    static T& value(Node& n) { return static_cast<T&>(n); }

public:
    constexpr List() { head_.prev = head_.next = &head_; }
    bool empty() const { return head_.next == &head_; }
    T& front() {
        ASSERT(!empty());
        return value(*head_.next);
    }
    const T& front() const {
        ASSERT(!empty());
        return static_cast<const T&>(static_cast<const Node&>(*head_.next));
    }
    T& back() {
        ASSERT(!empty());
        return value(*head_.prev);
    }

    void push_back(T& e) { insert_before(head_, e); }
    void push_front(T& e) { insert_before(*head_.next, e); }
    /// Inserts `e` in front of `position`, which is in this list.
    void insert_before(T& position, T& e) { insert_before(static_cast<Node&>(position), e); }
    static void remove(T& e) {
        Node& n = e;
        ASSERT(n.linked());
        n.prev->next = n.next;
        n.next->prev = n.prev;
        n.prev = n.next = nullptr;
    }
    T* pop_front() {
        if (empty()) return nullptr;
        T& e = front();
        remove(e);
        return &e;
    }

    struct Iterator {
        Node* at;
        T& operator*() const { return value(*at); }
        T* operator->() const { return &value(*at); }
        Iterator& operator++() {
            at = at->next;
            return *this;
        }
        bool operator==(const Iterator&) const = default;
    };
    Iterator begin() { return {head_.next}; }
    Iterator end() { return {&head_}; }

private:
    void insert_before(Node& position, T& e) {
        Node& n = e;
        ASSERT(!n.linked());
        n.prev = position.prev;
        n.next = &position;
        position.prev->next = &n;
        position.prev = &n;
    }
};

}  // namespace ringlet
