// A few free slots of the heap's small classes, for one thread: it takes and gives them back without a lock, and the
// heap's lock is taken for many at once. posix/memory.cpp has one for each thread. Context: the thread that it belongs
// to.
#pragma once

#include <array>

#include "kernel/mm/size_classes.hpp"

namespace ringlet::kernel {

class HeapCache {
public:
    static constexpr usize kLargest = kLargestClass;  ///< bytes; larger blocks are the heap's alone

    /// nullptr: memory is out, or it is too large, or this was closed: heap_allocate() is asked then.
    void* allocate(usize bytes);
    /// False: not a slot that is kept here; heap_free() is for it. One that was freed twice is a panic.
    bool free(void* p);
    /// All goes back to the heap: somebody needs memory.
    void drain();
    /// The same, and from now on it keeps nothing: the thread ends.
    void close();

private:
    /// What lies in a free slot. The mark tells a second free() from a first one.
    struct Free {
        Free* next;
        u64 mark;
    };
    struct Bin {
        Free* first = nullptr;
        u8 count = 0;
        /// How many are taken at once: twice as many each time, so that few are taken where few are needed.
        u8 batch = 1;
    };
    void* refill(Bin& bin, u8 size_class);
    void give_back(Bin& bin, usize count);

    std::array<Bin, kClassCount> bins_;
    bool closed_ = false;
};

}  // namespace ringlet::kernel
