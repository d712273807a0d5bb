// The one program: the broker process and every tool, told apart by the name it is called by.
#include "tools/command.h"

int main(int argc, char** argv) { return tidemark::ToolMain(argc, argv); }
