// The application of every appliance here: nothing. What is in the image is what the configuration names.
int main() {}
