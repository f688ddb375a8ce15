// A failed assert(): the same sentence as newlib's, which would bring a second printf with it. Context: thread.
#include <cassert>
#include <cstdlib>

#include <unistd.h>

#include "lib/format.hpp"

using namespace ringlet;

extern "C" {

[[noreturn]] void __assert_func(const char* file, int line, const char* function, const char* expression) {
    char text[512];
    const std::string_view said =
        format_to(text, "assertion \"{}\" failed: file \"{}\", line {}{}{}\n", std::string_view(expression),
                  std::string_view(file), line, std::string_view(function != nullptr ? ", function: " : ""),
                  std::string_view(function != nullptr ? function : ""));
    (void)!write(STDERR_FILENO, said.data(), said.size());
    abort();
}
[[noreturn]] void __assert(const char* file, int line, const char* expression) {
    __assert_func(file, line, nullptr, expression);
}

}  // extern "C"
