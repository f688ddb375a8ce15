// What std::terminate() does when nobody says otherwise: tells of the exception and aborts. libstdc++'s own does it
// with a demangler of 45 KiB. In an image only when something in it can throw. Context: thread.
#include <exception>
#include <typeinfo>

#include <cxxabi.h>

#include "kernel/panic.hpp"
#include "lib/format.hpp"

using namespace ringlet;

namespace __gnu_cxx {
void __verbose_terminate_handler() {
    const std::type_info* type = abi::__cxa_current_exception_type();
    if (type == nullptr) kernel::panic("std::terminate() called");
    char text[192];
    try {
        throw;
    } catch (const std::exception& e) {
        kernel::panic(format_to(text, "an exception was not caught: {}: {}", std::string_view(type->name()),
                                std::string_view(e.what())));
    } catch (...) {
        kernel::panic(format_to(text, "an exception was not caught: {}", std::string_view(type->name())));
    }
}
}  // namespace __gnu_cxx
