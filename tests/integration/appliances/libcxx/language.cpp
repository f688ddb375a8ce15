// Exceptions through many frames, dynamic types, thread_local variables, coroutines, jumps.
#include <coroutine>
#include <csetjmp>
#include <cstddef>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <unordered_map>

#include "check.hpp"

#ifdef __linux__
#error "the compiler believes that this is Linux"
#endif

namespace {

struct Coded : std::runtime_error {
    int code;
    explicit Coded(int c) : std::runtime_error("code " + std::to_string(c)), code(c) {}
};

struct Counter {
    int& count;
    ~Counter() { ++count; }
};

[[gnu::noinline]] int descend(int depth, int& unwound) {
    const Counter counter{unwound};
    if (depth == 0) throw Coded(17);
    return descend(depth - 1, unwound) + 1;
}

void check_exceptions() {
    int unwound = 0, code = 0;
    std::string text;
    try {
        descend(50, unwound);
    } catch (const std::exception& e) {
        text = e.what();
        if (const auto* coded = dynamic_cast<const Coded*>(&e)) code = coded->code;
    }
    CHECK(text == "code 17" && code == 17);
    CHECK(unwound == 51);

    bool out_of_range = false;
    try {
        (void)std::unordered_map<int, int>().at(5);
    } catch (const std::out_of_range&) {
        out_of_range = true;
    }
    CHECK(out_of_range);

    int inner = 0;
    try {
        try {
            throw 5;
        } catch (...) {
            std::throw_with_nested(std::logic_error("outer"));
        }
    } catch (const std::logic_error& outer) {
        try {
            std::rethrow_if_nested(outer);
        } catch (int i) {
            inner = i;
        }
    }
    CHECK(inner == 5);

    std::exception_ptr kept;
    try {
        throw Coded(3);
    } catch (...) {
        kept = std::current_exception();
    }
    bool again = false;
    try {
        std::rethrow_exception(kept);
    } catch (const Coded& e) {
        again = e.code == 3;
    }
    CHECK(again);
    CHECK(std::string(typeid(Coded).name()).find("Coded") != std::string::npos);
}

void check_memory_runs_out() {
    bool refused = false;
    try {
        volatile std::size_t much = std::size_t{1} << 46;
        char* p = new char[much];
        asm volatile("" : : "r"(p));
    } catch (const std::bad_alloc&) {
        refused = true;
    }
    CHECK(refused);
    volatile std::size_t much = std::size_t{1} << 46;
    char* none = new (std::nothrow) char[much];
    asm volatile("" : "+r"(none));  // else the compiler may leave the allocation out
    CHECK(none == nullptr);
}

struct Generator {
    struct promise_type {
        int value = 0;
        Generator get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(int v) {
            value = v;
            return {};
        }
        void return_void() {}
        void unhandled_exception() { throw; }
    };
    std::coroutine_handle<promise_type> handle;
};

Generator count_to(int end) {
    for (int i = 0; i < end; ++i) co_yield i;
}

void check_control_flow() {
    const Generator generator = count_to(4);
    int sum = 0;
    while (generator.handle.resume(), !generator.handle.done()) sum += generator.handle.promise().value;
    generator.handle.destroy();
    CHECK(sum == 6);

    std::jmp_buf back;
    volatile int jumps = 0;
    if (setjmp(back) == 0) {
        jumps = jumps + 1;
        std::longjmp(back, 1);
    }
    CHECK(jumps == 1);
}

}  // namespace

void check_language() {
    check_exceptions();
    check_memory_runs_out();
    check_control_flow();
}
