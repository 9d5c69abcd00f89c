"""Which messages of a channel are answered: what a question is in both languages, and what a policy says."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadRequest
from app.slack import policy as policies
from app.slack.policy import is_question, is_small_talk, wants_answer
from app.slack.records import Incoming, Policy

QUESTIONS = (
    # English
    "How many days of leave do I have?",
    "how many days of leave do i have",
    "Where do I send the expense form",
    "what's the wifi password for guests",
    "What is the notice period of a contractor",
    "which form do I need for parental leave",
    "Who approves expenses above 500 euros",
    "who can sign a purchase order",
    "When is the payroll run",
    "Why was the meal allowance lowered",
    "how to reset my password",
    "Is the canteen open on Fridays",
    "does the company pay for language courses",
    "do contractors get a badge",
    "Can I carry leave over to next year",
    "Could someone explain the travel policy",
    "anyone know how long the probation lasts",
    "Any idea where the travel policy is",
    "I'd like to know whether overtime is paid",
    "Hi all, how do I book a meeting room",
    "Good morning! Where can I park",
    "Hello team: is there a dress code",
    "Quick question, can we work from abroad",
    "I lost my badge. Who replaces it?",
    "Remote work from Spain: allowed?",
    "Please tell me how the bonus is computed",
    "in which cases is a medical certificate needed",
    "<@U2> said no. What does the handbook say about dogs in the office?",
    "what to do when a laptop is stolen",
    # French
    "Combien de jours de congés ai-je ?",
    "combien de jours de congés par an",
    "Est-ce que la cantine est ouverte le vendredi",
    "Est-ce qu'on peut travailler depuis l'étranger",
    "Qu'est-ce que le forfait jours",
    "Comment poser un congé parental",
    "Où envoyer la note de frais",
    "où se trouve le formulaire",
    "Quel est le préavis d'un prestataire",
    "quelle est la durée de la période d'essai",
    "Quels justificatifs faut-il fournir",
    "Qui valide les notes de frais au-dessus de 500 euros",
    "Quand tombe la paie de décembre",
    "quand est versée la prime",
    "Quand le salaire est-il versé",
    "Pourquoi la prime a baissé",
    "Peut-on reporter les congés",
    "Puis-je télétravailler trois jours",
    "Faut-il un certificat médical",
    "Y a-t-il un parking pour les visiteurs",
    "La prime est-elle imposable",
    "Avez-vous le modèle de contrat",
    "Pourriez-vous m'indiquer la procédure d'achat",
    "Que faire en cas de vol d'un ordinateur",
    "que se passe-t-il si je perds mon badge",
    "Bonjour, comment réserver une salle",
    "Bonjour à tous ! Quelqu'un sait comment réserver une salle",
    "Merci. À qui envoyer le formulaire",
    "Je voudrais savoir si les heures supplémentaires sont payées",
    "Dans quels cas un certificat est demandé",
    "Le remboursement des transports, c'est combien",
    "Jusqu'à quand peut-on poser ses congés",
    "De quoi ai-je besoin pour louer une voiture",
    "J’ai perdu mon badge, qui le remplace ?",
)

NO_QUESTIONS = (
    "",
    "   ",
    "?",
    "???",
    "Hi",
    "Hello everyone!",
    "Good morning all",
    "Thanks a lot!",
    "thank you very much for your help",
    "ok",
    "OK great, thanks",
    "Really?",
    "How are you?",
    "How's it going?",
    "what's up",
    "Who cares?",
    "Seriously?!",
    "Wow!",
    "What a day!",
    "What a mess this release was",
    "How nice of you!",
    "You're welcome",
    "Have a nice weekend!",
    "Why?",
    "Who are you?",
    "When I arrived the door was open.",
    "Where there is a will there is a way.",
    "Which is why we moved the meeting to Monday.",
    "For what it's worth, the form has changed.",
    "To whom it may concern",
    "Do not park in front of the gate.",
    "Do the backup before leaving.",
    "The meeting is at three.",
    "I know how to reset the password.",
    "Please send me the report.",
    "We will see what the customer says.",
    "See https://example.com/search?q=leave",
    "<https://example.com/?page=2|the page> is online",
    "```SELECT a ? b : c```",
    "&gt; how many days do I have?\nI answered that yesterday.",
    ":question:",
    ":tada: :tada:",
    "<@U2>",
    "Bonjour",
    "Bonjour à tous !",
    "Merci beaucoup !",
    "Merci pour votre aide",
    "Ça va ?",
    "Comment ça va ?",
    "Comment allez-vous ?",
    "Quoi de neuf ?",
    "D'accord, merci",
    "Bonne journée !",
    "Bon week-end à tous",
    "Vraiment ?",
    "Quelle belle journée !",
    "Quel dommage !",
    "Pourquoi ?",
    "Quand je suis arrivé, la porte était ouverte.",
    "Le rendez-vous est à trois heures.",
    "Inscrivez-vous avant vendredi.",
    "Dépêchez-vous, le train part.",
    "C'est impossible, dit-il.",
    "Peut-être demain.",
    "Je sais comment faire la sauvegarde.",
    "Ou bien lundi.",
    "Il faut que le rapport soit prêt.",
    "Que du bonheur",
)


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_is_told_in_english_and_french(text):
    assert is_question(text)


@pytest.mark.parametrize("text", NO_QUESTIONS)
def test_greetings_thanks_exclamations_and_statements_are_no_questions(text):
    assert not is_question(text)


@pytest.mark.parametrize(
    "text", ["And in Leeds?", "What is that?", "demain ?", "who is it", "et à Lyon", "Why?", "help"]
)
def test_what_leans_on_the_thread_is_no_small_talk(text):
    assert not is_small_talk(text)


@given(st.text(max_size=300))
def test_any_text_is_told_without_an_error_and_the_same_with_blanks_around_it(text):
    assert is_question(text) == is_question(f"  {text} ") or text[:1] in "<&:`"


@given(st.text(max_size=80), st.sampled_from(["```", "`"]))
def test_what_stands_in_code_asks_nothing(text, fence):
    assert not is_question(f"{fence}{text.replace('`', '')}{fence}".replace("\n", " "))


@given(
    st.lists(
        st.sampled_from(["how ", "est-ce que ", "-t-il", "<@U1>", "&gt;", "?", "!", "a-", " c'est ", "```", "quel "])
    )
)
def test_pieces_of_questions_never_take_long(pieces):
    text = "".join(pieces) * 200
    began = time.process_time()

    is_question(text)

    assert time.process_time() - began < 2


# --- policies -------------------------------------------------------------------------------------------------

ASKS, TELLS = "How many days of leave do I have?", "The printer on the second floor is broken."


def said(text=ASKS, *, kind="message", thread="", user="U1", **payload):
    return Incoming("T1", kind, "m", "C1", "channel", user, "T1", "2.0", thread, text, payload)


def wants(answers, incoming, *, joined=False, muted=False):
    return wants_answer(Policy(answers=answers), incoming, joined=joined, muted=muted)


#: (what was said, joined, muted) → the policies under which it is answered.
TABLE: tuple[tuple[Incoming, bool, bool, set[str]], ...] = (
    (said(kind="mention"), False, False, {"mention", "questions", "all"}),
    (said(kind="mention", thread="1.0"), True, True, {"mention", "questions", "all"}),
    (said(TELLS, kind="mention"), False, False, {"mention", "questions", "all"}),
    (said(), False, False, {"questions", "all"}),
    (said(TELLS), False, False, {"all"}),
    (said("Thanks!"), False, False, set()),
    (said(thread="1.0"), False, False, {"all"}),
    (said(thread="1.0"), True, False, {"mention", "questions", "all"}),
    (said("and in Leeds", thread="1.0"), True, False, {"mention", "questions", "all"}),
    (said("Merci !", thread="1.0"), True, False, set()),
    (said(thread="1.0"), True, True, set()),
    (said("<@U2> how many days of leave do you have?"), False, False, set()),
    (said("<@U2|marie> and in Leeds?", thread="1.0"), True, False, set()),
    (said("<!subteam^S1> how many days of leave do you have?"), False, False, set()),
    (said(user=""), False, False, set()),
    (said(bot_id="B1"), False, False, set()),
    (said(subtype="bot_message"), True, False, set()),
    (said(kind="member"), True, False, set()),
    (said(kind="direct"), False, False, {"off", "mention", "questions", "all"}),
    (said(kind="command"), False, True, {"off", "mention", "questions", "all"}),
)


@pytest.mark.parametrize(("incoming", "joined", "muted", "answered"), TABLE)
def test_a_message_is_answered_where_the_policy_says_so(incoming, joined, muted, answered):
    found = {each for each in policies.ANSWERS if wants(each, incoming, joined=joined, muted=muted)}

    assert found == answered


@given(st.text(max_size=60), st.booleans(), st.booleans(), st.sampled_from(["message", "mention"]))
def test_nothing_is_ever_answered_where_the_bot_is_off(text, joined, muted, kind):
    assert not wants("off", said(text, kind=kind, thread="1.0"), joined=joined, muted=muted)


@given(st.text(max_size=60), st.sampled_from(policies.ANSWERS), st.booleans())
def test_a_muted_thread_is_left_alone_whatever_is_said(text, answers, joined):
    assert not wants(answers, said(text, thread="1.0"), joined=joined, muted=True)


@pytest.mark.parametrize(
    "wrong", [{"answers": "never"}, {"unknown": "shout"}, {"editors": "all"}, {"sources": ("s",) * 101}]
)
def test_a_policy_of_other_words_is_refused(wrong):
    with pytest.raises(BadRequest):
        policies.check(Policy(**wrong))
