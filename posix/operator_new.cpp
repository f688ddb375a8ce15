// What operator new comes down to when memory is out: new-handlers and std::bad_alloc. Only here, so that a C program
// has no unwinder in its image. Context: thread.
#include <atomic>
#include <new>

#include "kernel/mm/new.hpp"
#include "posix/memory.hpp"

namespace {
constinit std::atomic<std::new_handler> handler_now{nullptr};
}

std::new_handler std::set_new_handler(std::new_handler handler) noexcept {
    return handler_now.exchange(handler);
}
std::new_handler std::get_new_handler() noexcept {
    return handler_now.load();
}

namespace ringlet::kernel {

/// Asks the new-handler as long as there is one.
void* must_allocate(std::size_t bytes, std::size_t align) {
    for (;;) {
        if (void* p = posix::take_memory(bytes, align)) return p;
        const std::new_handler handler = std::get_new_handler();
        if (handler == nullptr) throw std::bad_alloc();
        handler();
    }
}

/// The same for new (std::nothrow): nullptr in place of the exception.
void* allocate_with_handler(std::size_t bytes, std::size_t align) noexcept {
    if (std::get_new_handler() == nullptr) return nullptr;
    try {
        return must_allocate(bytes, align);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

}  // namespace ringlet::kernel
