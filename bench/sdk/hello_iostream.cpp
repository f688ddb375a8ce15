// hello in C++ with streams, to be weighed.
#include <iostream>

int main(int, char** argv) {
    std::cout << "Hello from " << argv[0] << std::endl;
}
