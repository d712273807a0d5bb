// Compiled with the headers that tests share; see CMakeLists.txt.
