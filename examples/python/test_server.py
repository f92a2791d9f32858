import unittest

from server import reach


class Reach(unittest.TestCase):
    def test_a_tank(self):
        self.assertEqual(reach(40), 500)

    def test_whole_kilometres(self):
        self.assertEqual(reach(0.1), 1)

    def test_less_than_nothing(self):
        with self.assertRaises(ValueError):
            reach(-1)
