// hello in C++, to be weighed: containers, strings and exceptions.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    try {
        const std::vector<std::string> words(argv, argv + argc);
        if (words.size() > 1) throw std::runtime_error("no arguments, please");
        std::printf("Hello from %s\n", words.at(0).c_str());
    } catch (const std::exception& e) {
        std::printf("hello: %s\n", e.what());
    }
}
