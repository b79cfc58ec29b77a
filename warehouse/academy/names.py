"""Names of students: Korean, and romanised for those who read English reports."""

import numpy as np

FAMILY_NAMES = (
    ("김", "Kim", 0.22),
    ("이", "Lee", 0.15),
    ("박", "Park", 0.09),
    ("최", "Choi", 0.06),
    ("정", "Jung", 0.06),
    ("강", "Kang", 0.05),
    ("조", "Cho", 0.05),
    ("윤", "Yoon", 0.05),
    ("장", "Jang", 0.05),
    ("임", "Lim", 0.04),
    ("한", "Han", 0.04),
    ("오", "Oh", 0.04),
    ("서", "Seo", 0.03),
    ("신", "Shin", 0.03),
    ("권", "Kwon", 0.02),
    ("황보", "Hwangbo", 0.01),
    ("남궁", "Namgung", 0.01),
)
GIRLS = (
    ("서연", "Seoyeon"),
    ("지우", "Jiwoo"),
    ("하은", "Haeun"),
    ("민서", "Minseo"),
    ("수아", "Sua"),
    ("채원", "Chaewon"),
    ("예린", "Yerin"),
    ("다은", "Daeun"),
    ("소율", "Soyul"),
    ("가온", "Gaon"),
    ("윤서", "Yunseo"),
    ("별", "Byeol"),
)
BOYS = (
    ("민준", "Minjun"),
    ("서준", "Seojun"),
    ("도윤", "Doyun"),
    ("예준", "Yejun"),
    ("시우", "Siwoo"),
    ("주원", "Juwon"),
    ("지호", "Jiho"),
    ("준서", "Junseo"),
    ("건우", "Geonwoo"),
    ("현우", "Hyunwoo"),
    ("은찬", "Eunchan"),
    ("솔", "Sol"),
)


def student_name(draw: np.random.Generator, is_girl: bool, is_english: bool) -> str:
    """Draw a name, family name first in Korean and last in English."""
    weights = np.array([share for _, _, share in FAMILY_NAMES])
    family = FAMILY_NAMES[int(draw.choice(len(FAMILY_NAMES), p=weights / weights.sum()))]
    given_names = GIRLS if is_girl else BOYS
    given = given_names[int(draw.integers(len(given_names)))]
    return f"{given[1]} {family[1]}" if is_english else f"{family[0]}{given[0]}"
