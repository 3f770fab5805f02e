// Nothing is wrong here, so the check must fail.
int main() { return 0; }
