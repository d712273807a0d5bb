// Compiled with the headers that programs and libraries share; see CMakeLists.txt.
